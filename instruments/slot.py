"""Put instruments into board files: `- instrument: violin`, then the effects that it plays through."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainValidator

from instruments.families import FAMILIES, family_of, open_instrument, sound_names, sound_path
from instruments.player import InstrumentPlayer
from neural_fx.boards.kinds.timbre import timbre_values
from neural_fx.boards.paths import relative
from neural_fx.boards.registry import SlotKind
from neural_fx.boards.schema import NamesFile, Slot, path_text
from neural_fx.pedalboard import Plugin


def _bundled() -> list[str]:
    """Return every name that stands for a sound and not for a file."""
    return sound_names() + [f"{family.name}:{sound}" for family in FAMILIES for sound in family.sounds()]


SoundName = Annotated[str, PlainValidator(path_text), NamesFile(_bundled)]
"""The name of a sound, or of an instrument's file, in a board."""


class InstrumentSlot(Slot):
    """An instrument of any family.

    Attributes:
        instrument: a sound's name, ``FAMILY:NAME``, or the path of a file.
        morph_to: a second sound, for families that morph.
    """

    instrument: SoundName
    morph_to: SoundName | None = None


def _fill(slot: InstrumentSlot, folder: Path) -> Plugin:
    instrument = sound_path(slot.instrument, folder)
    morph_to = sound_path(slot.morph_to, folder) if slot.morph_to else None
    return InstrumentPlayer(open_instrument(instrument, morph_to=morph_to))


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


def _stored(plugin: object) -> int | None:
    if not isinstance(plugin, InstrumentPlayer):
        return None
    return timbre_values(getattr(plugin.instrument, "timbres", ()))


INSTRUMENT = SlotKind("instrument", InstrumentSlot, _fill, _describe, stored=_stored)
