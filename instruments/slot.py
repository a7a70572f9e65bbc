"""Board files with instruments: `- instrument: violin`, then the effects it plays through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instruments.ddsp import DDSP
from instruments.player import InstrumentPlayer
from neural_fx.boards import Slot, add_slot
from neural_fx.pedalboard import Plugin


class InstrumentSlot(Slot):
    """A timbre that plays notes.

    Attributes:
        instrument: a bundled timbre, or the path of a timbre file.
        morph_to: another one.
    """

    instrument: str
    morph_to: str | None = None


def _fill(slot: InstrumentSlot) -> Plugin:
    return InstrumentPlayer(DDSP(slot.instrument, morph_to=slot.morph_to))


def _describe(plugin: Plugin) -> dict[str, Any] | None:
    if not isinstance(plugin, InstrumentPlayer) or not isinstance(plugin.instrument, DDSP):
        return None
    names = [str(name) if isinstance(name, Path) else name for name in plugin.instrument.sources]
    return {"instrument": names[0], **({"morph_to": names[1]} if len(names) > 1 else {})}


add_slot("instrument", InstrumentSlot, _fill, _describe)
