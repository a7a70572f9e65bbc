"""Read the parameters of a worker's board from its WELCOME. Nothing in it is trusted."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import ProtocolError
from bridge.protocol import Event, Refusal, pack_event, shortened
from neural_fx.parameters import Parameter
from neural_fx.values import shown

_UNLIMITED = 1e9


@dataclass
class RemoteParameters:
    """The parameters of a board, by attribute name.

    Attributes:
        table: the parameters.
        places: their addresses.
        values: their values.
    """

    table: dict[str, Parameter] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)


def read_parameters(welcome: Mapping[str, Any], taken: Callable[[str], bool]) -> RemoteParameters:
    """Read the parameters of a WELCOME. Choices, whose value is a name, are left out.

    Args:
        welcome: its JSON.
        taken: returns whether an attribute of this name exists already.

    Raises:
        ProtocolError: a field is wrong.
    """
    listed = welcome.get("parameters", {})
    if not isinstance(listed, dict):
        raise ProtocolError(f"parameters: expected a mapping, found {shown(listed)}", Refusal.MALFORMED)
    found = RemoteParameters()
    used: Counter[str] = Counter()
    for place, about in listed.items():
        if not isinstance(about, dict):
            raise ProtocolError(f"parameter {shown(place)}: expected a mapping", Refusal.MALFORMED)
        if not _is_number(about.get("value")):
            continue  # a choice, whose value is a name
        pack_event(Event(0, place))  # raises an error if the address is too long to send
        name = _free_name(_attribute(place, taken), found.table, used)
        found.table[name], found.values[name] = _parameter(name, about)
        found.places[name] = place
    return found


def _attribute(place: str, taken: Callable[[str], bool]) -> str:
    """Return the attribute name for an address: ``SLOT_PARAM``."""
    name = place.replace("/", "_").replace("-", "_")
    name = f"p{name}" if name.startswith("_") else name
    return f"{name}_" if taken(name) else name


def _free_name(name: str, others: Mapping[str, object], used: Counter[str]) -> str:
    """Return an attribute name, with a number if another parameter has it.

    Args:
        name: the name.
        others: names of other parameters.
        used: how often each name occurred so far. This keeps the search short if many are the same.
    """
    found = name
    while found in others:
        used[name] += 1
        found = f"{name}_{used[name] + 1}"
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _finite(about: Mapping[str, Any], field: str, otherwise: float, name: str) -> float:
    """Read a number of a parameter from a WELCOME.

    Args:
        about: fields of the parameter.
        field: name of the field.
        otherwise: value if the field is missing.
        name: name of the parameter, for the message.

    Raises:
        ProtocolError: the field is not a finite number.
    """
    value = about.get(field, otherwise)
    with contextlib.suppress(OverflowError):
        if _is_number(value) and math.isfinite(value):
            return float(value)
    raise ProtocolError(f"{shown(name)}: {field} {shown(value)} is not a finite number", Refusal.MALFORMED)


def _parameter(name: str, about: Mapping[str, Any]) -> tuple[Parameter, float]:
    """Read a parameter and its value from a WELCOME.

    Args:
        name: name of the parameter.
        about: fields of the parameter.

    Raises:
        ProtocolError: a number is not finite, or the minimum is above the maximum.
    """
    value = _finite(about, "value", 0.0, name)
    low = _finite(about, "min", min(-_UNLIMITED, value), name)
    high = _finite(about, "max", max(_UNLIMITED, value), name)
    if low > high:
        raise ProtocolError(f"{shown(name)}: min {low:g} is above max {high:g}", Refusal.MALFORMED)
    default = min(max(_finite(about, "default", value, name), low), high)
    unit = about.get("unit", "")
    return Parameter(name, low, high, default, clean_sentence(unit)[:32]), min(max(value, low), high)


def clean_sentence(text: object) -> str:
    """Return text of a worker without control characters; empty for anything that is not text."""
    if not isinstance(text, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in shortened(text))
