"""Macros: up to eight knobs of a whole board, each turning one or more parameters; what a DAW automates.

In a board file::

    macros:
      - name: Gain
        to: amp/drive            # SLOT/PARAM, or mix; one, or a list
        min: 0.2                 # optional: the part of the range to use, in the parameter's own unit
        max: 0.9
      - name: Space
        to: [reverb/wet_level, {parameter: mix, min: 0.5, max: 1}]

A board that names none has the first eight parameters of its neural slots as macros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from neural_fx.errors import ParameterError
from neural_fx.parameters import Parameter

MOST_MACROS = 8
UNITS = {"db": "dB", "hz": "Hz", "ms": "ms", "seconds": "s", "semitones": "st"}
"""What native plugins end their parameters' names with."""

Table = Mapping[str, Parameter | None]
"""The parameters of a board by address, such as ``amp/drive``; None where the range is not known."""


@dataclass(frozen=True)
class Target:
    """A parameter that a macro turns.

    Attributes:
        address: ``SLOT/PARAM`` or ``mix``.
        minimum, maximum: its values at 0 and at 1, in its own unit; None for the parameter's own limits. They may be
            the other way round.
    """

    address: str
    minimum: float | None = None
    maximum: float | None = None

    def limits(self, table: Table) -> tuple[float, float]:
        """The values at 0 and at 1.

        Raises:
            ParameterError: no such parameter (lists what there is), a limit outside its range, or limits that are
                neither given nor known.
        """
        if self.address not in table:
            raise ParameterError(f"nothing at {self.address!r}; there is: {', '.join(table)}")
        parameter = table[self.address]
        if parameter is None and (self.minimum is None or self.maximum is None):
            raise ParameterError(f"{self.address}: its range is not known; say min and max")
        low, high = self.minimum, self.maximum
        if parameter is not None:
            low = parameter.minimum if low is None else parameter.check(low)
            high = parameter.maximum if high is None else parameter.check(high)
        assert low is not None
        assert high is not None
        return low, high


@dataclass(frozen=True)
class Macro:
    """A knob from 0 to 1 that turns parameters of a board together.

    Attributes:
        name: for people.
        targets: what it turns; its own position is told by the first.
    """

    name: str
    targets: tuple[Target, ...]

    def position(self, table: Table, value: Callable[[str], object]) -> float:
        """Where it stands, 0..1, by the value of its first target."""
        low, high = self.targets[0].limits(table)
        now = float(str(value(self.targets[0].address)))
        return min(max((now - low) / (high - low), 0.0), 1.0) if high != low else 0.0

    def values(self, table: Table, share: float) -> dict[str, float]:
        """The values of its targets at a position, 0..1."""
        limits = {target.address: target.limits(table) for target in self.targets}
        return {address: low + share * (high - low) for address, (low, high) in limits.items()}

    def unit(self, table: Table) -> tuple[float, float, str]:
        """The first target's values at 0 and 1, and its unit: what to show beside the knob."""
        address = self.targets[0].address
        parameter = table[address]
        unit = parameter.unit if parameter is not None else UNITS.get(address.rpartition("_")[2], "")
        return (*self.targets[0].limits(table), unit)


def default_macros(table: Table) -> tuple[Macro, ...]:
    """The first eight parameters of known range, but bypass switches and the board's mix, each under its own name.

    A capture's own knobs come before input and output gains. Where two slots have a parameter of the same name, the
    slot's name goes before it.
    """
    known = [place for place, parameter in table.items() if parameter is not None and _is_knob(place)]
    places = sorted(known, key=lambda place: place.endswith("put_gain_db"))[:MOST_MACROS]
    names = [place.rpartition("/")[2] for place in places]
    spelled = [
        (place.replace("/", " ") if names.count(name) > 1 else name).replace("_", " ").capitalize()
        for place, name in zip(places, names, strict=True)
    ]
    return tuple(Macro(name, (Target(place),)) for name, place in zip(spelled, places, strict=True))


def _is_knob(place: str) -> bool:
    return place not in ("mix", "bypass") and not place.endswith("/bypass") and not place.startswith("macro/")
