"""Slots that change the timbre: `- timbre: violin`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainValidator

from neural_fx.boards.paths import relative
from neural_fx.boards.registry import SlotKind
from neural_fx.boards.schema import NamesFile, Slot, path_text
from neural_fx.foreign import array_values
from neural_fx.pedalboard import Plugin
from neural_fx.timbre import TimbreTransfer
from neural_fx.timbre.files import Timbre
from neural_fx.timbre.library import TIMBRES, timbre_in


def _bundled() -> tuple[str, ...]:
    return TIMBRES


TimbreName = Annotated[str, PlainValidator(path_text), NamesFile(_bundled)]
"""The name of a bundled timbre or of a timbre file in a board."""


class TimbreSlot(Slot):
    """A timbre, or two to morph between."""

    timbre: TimbreName
    morph_to: TimbreName | None = None


def _fill(slot: TimbreSlot, folder: Path) -> Plugin:
    return TimbreTransfer(timbre_in(slot.timbre, folder) or "", morph_to=timbre_in(slot.morph_to, folder))


def _describe(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    if not isinstance(plugin, TimbreTransfer):
        return None
    names = [name if isinstance(name, str) else relative(name, folder) for name in plugin.sources]
    return {"timbre": names[0], **({"morph_to": names[1]} if len(names) > 1 else {})}


def timbre_values(timbres: Iterable[Timbre]) -> int:
    """Return how many numbers some timbres store."""
    return sum(array_values(timbre.decoder.w) + int(timbre.reverb.size) for timbre in timbres)


def _stored(plugin: object) -> int | None:
    return timbre_values(plugin.timbres) if isinstance(plugin, TimbreTransfer) else None


TIMBRE = SlotKind("timbre", TimbreSlot, _fill, _describe, stored=_stored)
