"""Put instruments into board files: `- instrument: violin`, then the effects that it plays through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instruments.families import FAMILIES, family_of, open_instrument, sound_path
from instruments.player import InstrumentPlayer
from neural_fx.boards import FileName, Slot, add_slot, relative
from neural_fx.pedalboard import Plugin


class InstrumentSlot(Slot):
    """An instrument of any family.

    Attributes:
        instrument: a sound's name, ``FAMILY:NAME``, or the path of a file.
        morph_to: a second sound, for families that morph.
    """

    instrument: FileName
    morph_to: FileName | None = None

    def files(self, folder: Path) -> list[Path]:
        """Return the files that it names."""
        return [place for place in self._places(folder) if isinstance(place, Path)]

    def _places(self, folder: Path) -> list[str | Path | None]:
        return [name and sound_path(name, folder) for name in (self.instrument, self.morph_to)]


def _fill(slot: InstrumentSlot, folder: Path) -> Plugin:
    instrument, morph_to = slot._places(folder)
    return InstrumentPlayer(open_instrument(instrument or "", morph_to=morph_to))


def _describe(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    if not isinstance(plugin, InstrumentPlayer):
        return None
    family = family_of(plugin.instrument)
    if family is None or family.sources is None:
        return None
    found: dict[str, Any] = {}
    for field, source in family.sources(plugin.instrument).items():
        found[field] = relative(source, folder) if isinstance(source, Path) else _unique(family.name, source)
    return found


def _unique(family: str, sound: str) -> str:
    """Return a sound's name. If an earlier family has a sound of this name, the family is put in front."""
    first = next((known.name for known in FAMILIES if sound in known.sounds()), family)
    return sound if first == family else f"{family}:{sound}"


add_slot("instrument", InstrumentSlot, _fill, _describe)
