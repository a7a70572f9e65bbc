"""Slots with a VST3 or Audio Unit plugin: `- vst3: /path/to/Plugin.vst3`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pedalboard

from neural_fx.boards.paths import placed, relative
from neural_fx.boards.registry import FieldError, SlotKind
from neural_fx.boards.schema import FileName, Slot
from neural_fx.errors import BoardError, ParameterError
from neural_fx.parameters import Parameter, unknown_parameter
from neural_fx.pedalboard import Plugin
from neural_fx.slots import parameter_values
from neural_fx.values import shown


class Vst3Slot(Slot):
    """A plugin that is loaded from a file."""

    vst3: FileName
    plugin_name: str | None = None


def _fill(slot: Vst3Slot, folder: Path) -> Plugin:
    path = placed(slot.vst3, folder)
    if not os.path.exists(path):
        raise FieldError(f"{path}: no such plugin", "vst3")
    try:
        plugin = pedalboard.load_plugin(str(path), plugin_name=slot.plugin_name)
    except Exception as error:  # a host raises whatever a plugin makes it raise
        raise FieldError(" ".join(str(error).split())[:300], "vst3") from None
    plugin.path_to_plugin_file = str(path)  # pedalboard does not keep it, and saving needs it
    plugin.name_in_plugin_file = slot.plugin_name
    for name, value in slot.set.items():
        if name not in plugin.parameters:
            raise FieldError(str(unknown_parameter(plugin.name, name, list(plugin.parameters))), "set", name)
        try:
            plugin.parameters[name].raw_value = Parameter(name, 0, 1, 0).check(value)
        except ParameterError:
            raise FieldError(f"expected a raw value from 0 to 1, found {shown(value)}", "set", name) from None
    return plugin


def _describe(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    if not isinstance(plugin, pedalboard.ExternalPlugin):
        return None
    kept = vars(plugin)
    location = kept.get("path_to_plugin_file")
    if not location:
        raise BoardError(f"{plugin!r} does not know its file; load it from a board, or set its path_to_plugin_file")
    name = {"plugin_name": kept["name_in_plugin_file"]} if kept.get("name_in_plugin_file") else {}
    return {"vst3": relative(location, folder), **name, "set": parameter_values(plugin)}


VST3 = SlotKind("vst3", Vst3Slot, _fill, _describe, native=True)
