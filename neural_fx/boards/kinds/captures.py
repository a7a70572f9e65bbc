"""Slots with a capture: `- pedal: klon-gain-stage` and `- model: amps/jcm.nam`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from neural_fx.boards.paths import placed, relative
from neural_fx.boards.registry import SlotKind
from neural_fx.boards.schema import FileName, Slot
from neural_fx.networks import kind_of
from neural_fx.networks.registry import count_arrays
from neural_fx.neural import NeuralProcessor, load
from neural_fx.pedalboard import Plugin
from neural_fx.pedals import Pedal, make_pedal
from neural_fx.schema import Number


class PedalSlot(Slot):
    """A bundled pedal."""

    pedal: str
    oversample: Literal[1, 2, 4, 8] = 1
    level: Literal["raw", "normalized"] = "raw"


class ModelSlot(Slot):
    """A capture file."""

    model: FileName
    oversample: Literal[1, 2, 4, 8] = 1
    level: Literal["raw", "normalized", "calibrated"] = "raw"
    interface_dbu: Number = 12.0


def _fill_pedal(slot: PedalSlot, folder: Path) -> Plugin:
    return make_pedal(slot.pedal, slot.level, slot.oversample)


def _fill_model(slot: ModelSlot, folder: Path) -> Plugin:
    path = placed(slot.model, folder)
    return load(path, level=slot.level, interface_dbu=slot.interface_dbu, oversample=slot.oversample)


def _describe_pedal(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    if not isinstance(plugin, Pedal):
        return None
    return {"pedal": plugin.SLUG, **_level(plugin), **_oversample(plugin)}


def _describe_model(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    if isinstance(plugin, Pedal) or not isinstance(plugin, NeuralProcessor) or not plugin.capture.path:
        return None
    dbu = {"interface_dbu": plugin.interface_dbu} if plugin.output_level == "calibrated" else {}
    return {"model": relative(plugin.capture.path, folder), **_level(plugin), **dbu, **_oversample(plugin)}


def _level(plugin: NeuralProcessor) -> dict[str, Any]:
    return {"level": plugin.output_level} if plugin.output_level != "raw" else {}


def _oversample(plugin: NeuralProcessor) -> dict[str, Any]:
    return {"oversample": plugin.oversample} if plugin.oversample > 1 else {}


def network_values(plugin: object) -> int | None:
    """Return how many numbers a capture stores: its weights, and the past signal that its network keeps."""
    if not isinstance(plugin, NeuralProcessor):
        return None
    network = plugin.capture.network
    return count_arrays(network) + kind_of(network).state_size(network) * plugin.oversample


PEDAL = SlotKind("pedal", PedalSlot, _fill_pedal, _describe_pedal, stored=network_values)
MODEL = SlotKind("model", ModelSlot, _fill_model, _describe_model, stored=network_values)
