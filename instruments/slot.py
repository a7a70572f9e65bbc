"""Board files with instruments: `- instrument: violin`, then the effects it plays through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instruments.ddsp import DDSP
from instruments.player import InstrumentPlayer
from neural_fx.boards import Slot, TimbreName, add_slot, relative
from neural_fx.pedalboard import Plugin
from neural_fx.timbre.library import timbre_in


class InstrumentSlot(Slot):
    """A timbre that plays notes.

    Attributes:
        instrument: a bundled timbre, or the path of a timbre file.
        morph_to: another one.
    """

    instrument: TimbreName
    morph_to: TimbreName | None = None


def _fill(slot: InstrumentSlot, folder: Path) -> Plugin:
    timbre, morph_to = (timbre_in(name, folder) for name in (slot.instrument, slot.morph_to))
    return InstrumentPlayer(DDSP(timbre or "", morph_to=morph_to))


def _describe(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    if not isinstance(plugin, InstrumentPlayer) or not isinstance(plugin.instrument, DDSP):
        return None
    names = [name if isinstance(name, str) else relative(name, folder) for name in plugin.instrument.sources]
    return {"instrument": names[0], **({"morph_to": names[1]} if len(names) > 1 else {})}


add_slot("instrument", InstrumentSlot, _fill, _describe)
