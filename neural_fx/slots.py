"""Access the parameters and names of any plugin in a board, neural or native, in one way."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pedalboard

from neural_fx.errors import ParameterError
from neural_fx.native_ranges import native_knobs, native_parameters, native_value
from neural_fx.parameters import Parameter, unknown_parameter
from neural_fx.pedalboard import Container, Plugin
from neural_fx.processor import Processor
from neural_fx.values import finite_number, shown, suggestion

__all__ = [
    "apply_settings", "default_name", "find_slot", "known_parameters", "native_knobs", "native_value",
    "parameter_table", "parameter_values", "set_parameter", "slot_names", "slug",
]  # fmt: skip


def parameter_values(plugin: Plugin) -> dict[str, Any]:
    """Return the values of all parameters by name: numbers, or names of choices such as a filter mode."""
    if isinstance(plugin, Processor):
        return {name: getattr(plugin, name) for name in plugin.parameters}
    found: dict[str, Any] = {}
    for name in native_knobs(plugin):
        value = getattr(plugin, name)
        if isinstance(plugin, pedalboard.ExternalPlugin):
            found[name] = plugin.parameters[name].raw_value
        else:
            found[name] = value.name if hasattr(value, "name") else float(value)
    return found


def set_parameter(plugin: Plugin, name: str, value: object) -> None:
    """Set a parameter of any plugin.

    Args:
        plugin: a processor, one of pedalboard's own plugins, or a VST3.
        name: of the parameter.
        value: a number, a boolean, or the name of a choice. Text such as ``0.5`` counts as a number.

    Raises:
        ParameterError: the name is unknown (lists the valid ones), or the value is not finite, out of range, or
            refused by the plugin.
    """
    if isinstance(plugin, Processor):
        plugin.set_parameter(name, value)
        return
    if name not in native_knobs(plugin):
        raise unknown_parameter(type(plugin).__name__, name, native_knobs(plugin))
    if isinstance(plugin, pedalboard.ExternalPlugin):
        usable = _external_value(name, value)
    else:
        usable = native_value(type(plugin), name, value)
    try:
        setattr(plugin, name, usable)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ParameterError(f"{name}: {' '.join(str(error).split())[:200]}") from None


def _external_value(name: str, value: object) -> object:
    """Return a value for a VST3. It may be a name, such as ``Bright``."""
    if isinstance(value, (str, bool)):
        try:
            return finite_number(value, name)
        except ParameterError:
            if isinstance(value, bool) or not _is_not_finite(value):
                return value
            raise
    return finite_number(value, name)


def _is_not_finite(text: str) -> bool:
    """Return whether text is a number that is not finite."""
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False


def slot_names(board: Container) -> list[str]:
    """Return the names of all slots: the given name, else one for the plugin. Repeated names are numbered."""
    names: list[str] = []
    for plugin in board:
        base = board.given_name(plugin) or default_name(plugin)
        name, number = base, 2
        while name in names:
            name, number = f"{base}-{number}", number + 1
        names.append(name)
    return names


def default_name(plugin: Plugin) -> str:
    """Return a short name for a plugin, such as ``reverb`` or the name of a capture's file."""
    path = getattr(getattr(plugin, "capture", None), "path", None)
    if path is not None:
        return slug(path.stem)
    name = plugin.name if isinstance(plugin, pedalboard.ExternalPlugin) else type(plugin).__name__
    return slug(re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name))


def slug(text: str) -> str:
    """Convert text to lower case, digits and dashes, for command lines and OSC addresses."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "slot"


def parameter_table(board: Container) -> dict[str, Parameter | None]:
    """Return all parameters of a board: its own ``mix``, then those of the slots as ``SLOT/PARAM``.

    None stands for a parameter of unknown range: a choice such as a filter mode, a parameter of a VST3, or one that
    `neural_fx.native_ranges` does not list.
    """
    found: dict[str, Parameter | None] = dict(board.parameters)
    for name, plugin in zip(slot_names(board), board, strict=True):
        known = known_parameters(plugin)
        found |= {f"{name}/{parameter}": known.get(parameter) for parameter in parameter_values(plugin)}
    return found


def known_parameters(plugin: Plugin) -> Mapping[str, Parameter]:
    """Return the parameters of a plugin that have a known range, by name."""
    if isinstance(plugin, Processor):
        return plugin.parameters
    return {} if isinstance(plugin, pedalboard.ExternalPlugin) else native_parameters(plugin)


def find_slot(board: Container, key: str) -> Plugin:
    """Return the plugin in a slot.

    Args:
        board: that has the slot.
        key: the name of the slot, or its number from 1.

    Raises:
        ParameterError: there is no such slot. Suggests the nearest name and lists all.
    """
    names = slot_names(board)
    if key in names:
        return board[names.index(key)]
    if key.isdecimal() and len(key) < 10 and 1 <= int(key) <= len(board):
        return board[int(key) - 1]
    listed = ", ".join(f"{i} {name}" for i, name in enumerate(names, 1))
    raise ParameterError(f"no slot {shown(key)}{suggestion(key, names)}; the board has: {listed or 'no slots'}")


def apply_settings(board: Container, settings: Iterable[str]) -> None:
    """Set parameters as the command line writes them.

    Args:
        board: whose parameters are set.
        settings: each ``SLOT.PARAM=VALUE``, or ``PARAM=VALUE`` on a board of one slot.

    Raises:
        ParameterError: not of that form, or no such slot or parameter. Lists the valid ones.
    """
    for setting in settings:
        target, equals, value = setting.partition("=")
        if not equals or not target:
            raise ParameterError(f"--set {setting}: expected SLOT.PARAM=VALUE, such as 1.input_gain_db=6")
        slot, dot, name = target.rpartition(".")
        if not dot and len(board) != 1:
            listed = ", ".join(slot_names(board)) or "no slots"
            raise ParameterError(f"--set {setting}: name a slot, as in SLOT.PARAM=VALUE; the board has: {listed}")
        set_parameter(find_slot(board, slot) if dot else board[0], name, value)
