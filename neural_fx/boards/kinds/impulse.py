"""Slots with an impulse response: `- ir: cabs/celestion.wav`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pedalboard
from pydantic import Field

from neural_fx.boards.paths import placed, relative
from neural_fx.boards.registry import FieldError, SlotKind
from neural_fx.boards.schema import FileName, Slot
from neural_fx.errors import BoardError
from neural_fx.impulse import Convolution, response_path
from neural_fx.pedalboard import Plugin
from neural_fx.schema import Number


class IrSlot(Slot):
    """An impulse response, such as a cabinet or a room."""

    ir: FileName
    mix: Number = Field(1.0, ge=0, le=1)


def _fill(slot: IrSlot, folder: Path) -> Plugin:
    if slot.set:
        raise FieldError("an impulse response has no parameters but mix", "set")
    return Convolution(placed(slot.ir, folder), slot.mix)


def _describe(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    if not isinstance(plugin, pedalboard.Convolution):
        return None
    response = response_path(plugin)
    if response is None:
        raise BoardError(
            "a convolution with an array cannot be written to a board file; "
            "write the response to an audio file and use neural_fx.Convolution(file)"
        )
    mix = {"mix": round(float(plugin.mix), 7)} if plugin.mix != 1 else {}
    return {"ir": relative(response, folder), **mix}


def _stored(plugin: object) -> int | None:
    return int(plugin.audio.size) if isinstance(plugin, Convolution) else None


IR = SlotKind("ir", IrSlot, _fill, _describe, stored=_stored)
