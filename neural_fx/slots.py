"""One way to ask any plugin, neural or native, for its parameters, its name, and what a board file calls it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pedalboard

from neural_fx.errors import ParameterError
from neural_fx.parameters import Parameter, unknown_parameter
from neural_fx.pedalboard import Container, Plugin
from neural_fx.processor import Processor

_NOT_KNOBS = ("is_effect", "is_instrument", "impulse_response", "impulse_response_filename")


def native_knobs(plugin: pedalboard.Plugin | type[pedalboard.Plugin]) -> list[str]:
    """Names of a native plugin's parameters."""
    if isinstance(plugin, pedalboard.ExternalPlugin):
        return list(plugin.parameters)
    kind = plugin if isinstance(plugin, type) else type(plugin)
    return [n for n in dir(kind) if isinstance(getattr(kind, n), property) and n not in _NOT_KNOBS]


def parameter_values(plugin: Plugin) -> dict[str, Any]:
    """The values of all parameters by name: numbers, and names for choices such as a filter mode."""
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
    """Set a parameter of any plugin; text that is a number counts as one.

    Raises:
        ParameterError: unknown (lists the valid names), or a value the plugin refuses.
    """
    if isinstance(plugin, Processor):
        plugin.set_parameter(name, value)
        return
    if name not in native_knobs(plugin):
        raise unknown_parameter(type(plugin).__name__, name, native_knobs(plugin))
    try:
        setattr(plugin, name, native_value(type(plugin), name, value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(f"{name}: {' '.join(str(error).split())[:200]}") from None


def native_value(kind: type, name: str, value: object) -> object:
    """A value for a native plugin: a number, or the member of its enumeration that has that name."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        pass
    for choices in (getattr(kind, n, None) for n in ("Mode", "Quality")):
        members: Mapping[str, object] = getattr(choices, "__members__", {})
        if value in members:
            return members[value]
        if members and name in ("mode", "quality"):
            raise ValueError(f"{value!r} is none of {', '.join(members)}")
    return value


def slot_names(board: Container) -> list[str]:
    """A name for every slot: the one it was given, else what is in it; repeated ones are numbered."""
    names: list[str] = []
    for plugin in board:
        base = board.given_name(plugin) or default_name(plugin)
        name, number = base, 2
        while name in names:
            name, number = f"{base}-{number}", number + 1
        names.append(name)
    return names


def default_name(plugin: Plugin) -> str:
    """A short name for what a plugin is, such as ``reverb`` or the name of a capture's file."""
    path = getattr(getattr(plugin, "capture", None), "path", None)
    if path is not None:
        return slug(path.stem)
    name = plugin.name if isinstance(plugin, pedalboard.ExternalPlugin) else type(plugin).__name__
    return slug(re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name))


def slug(text: str) -> str:
    """Lower case, digits and dashes: fit for a command line and an OSC address."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "slot"


def parameter_table(board: Container) -> dict[str, Parameter | None]:
    """All parameters as ``SLOT/PARAM``, after the board's own ``mix``; None for a native plugin's, of unknown range."""
    found: dict[str, Parameter | None] = dict(board.parameters)
    for name, plugin in zip(slot_names(board), board, strict=True):
        known = plugin.parameters if isinstance(plugin, Processor) else {}
        found |= {f"{name}/{parameter}": known.get(parameter) for parameter in parameter_values(plugin)}
    return found


def find_slot(board: Container, key: str) -> Plugin:
    """The plugin in a slot, by name or by number from 1.

    Raises:
        ParameterError: there is none; lists the slots.
    """
    names = slot_names(board)
    if key in names:
        return board[names.index(key)]
    if key.isdecimal() and 1 <= int(key) <= len(board):
        return board[int(key) - 1]
    listed = ", ".join(f"{i} {name}" for i, name in enumerate(names, 1))
    raise ParameterError(f"no slot {key!r}; the board has: {listed or 'no slots'}")


def apply_settings(board: Container, settings: Iterable[str]) -> None:
    """Settings as the command line gives them: ``SLOT.PARAM=VALUE``, or ``PARAM=VALUE`` on a board of one slot.

    Raises:
        ParameterError: not of that form, or no such slot or parameter; lists the valid ones.
    """
    for setting in settings:
        target, equals, value = setting.partition("=")
        if not equals or not target:
            raise ParameterError(f"--set {setting}: expected SLOT.PARAM=VALUE, such as 1.input_gain_db=6")
        slot, dot, name = target.rpartition(".")
        if not dot and len(board) != 1:
            raise ParameterError(f"--set {setting}: which slot? The board has: {', '.join(slot_names(board))}")
        set_parameter(find_slot(board, slot) if dot else board[0], name, value)
