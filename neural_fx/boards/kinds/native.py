"""Slots with one of pedalboard's own plugins: `- plugin: Reverb`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pedalboard

from neural_fx.boards.registry import FieldError, SlotKind
from neural_fx.boards.schema import Slot
from neural_fx.errors import ParameterError
from neural_fx.native_ranges import native_knobs, native_value
from neural_fx.parameters import unknown_parameter
from neural_fx.pedalboard import Plugin
from neural_fx.slots import parameter_values
from neural_fx.values import shown, suggestion

_SKIPPED = (
    "Plugin", "PluginContainer", "ExternalPlugin", "VST3Plugin", "AudioUnitPlugin", "Pedalboard", "Convolution",
    "Chain", "Mix", "IIRFilter",
)  # fmt: skip
"""Classes of pedalboard that are bases or containers, or that have a slot of their own."""


class PluginSlot(Slot):
    """One of pedalboard's own plugins."""

    plugin: str


def native_plugins() -> dict[str, type[pedalboard.Plugin]]:
    """Return pedalboard's own effects by class name."""
    classes = {name: getattr(pedalboard, name) for name in dir(pedalboard)}
    return {
        name: kind
        for name, kind in classes.items()
        if isinstance(kind, type)
        and issubclass(kind, pedalboard.Plugin)
        and not name.startswith("_")
        and name not in _SKIPPED
    }


def _values(slot: PluginSlot) -> dict[str, Any]:
    """Return the keywords for the plugin's class."""
    known = native_plugins()
    if slot.plugin not in known:
        hint = suggestion(slot.plugin, known)
        raise FieldError(f"unknown plugin {shown(slot.plugin)}{hint}; known: {', '.join(known)}", "plugin")
    kind = known[slot.plugin]
    values = {}
    for name, value in slot.set.items():
        if name not in native_knobs(kind):
            raise FieldError(str(unknown_parameter(slot.plugin, name, native_knobs(kind))), "set", name)
        try:
            values[name] = native_value(kind, name, value)
        except ParameterError as error:
            raise FieldError(str(error), "set", name) from None
    return values


def _check(slot: PluginSlot) -> None:
    _values(slot)


def _fill(slot: PluginSlot, folder: Path) -> Plugin:
    values = _values(slot)
    try:
        return native_plugins()[slot.plugin](**values)
    except Exception as error:  # pybind raises several kinds for values it refuses
        raise FieldError(" ".join(str(error).split())[:200], "set") from None


def _describe(plugin: Plugin, folder: Path) -> dict[str, Any] | None:
    if not isinstance(plugin, pedalboard.Plugin) or type(plugin).__name__ not in native_plugins():
        return None
    values = parameter_values(plugin)
    return {"plugin": type(plugin).__name__, **({"set": values} if values else {})}


PLUGIN = SlotKind("plugin", PluginSlot, _fill, _describe, check=_check)
