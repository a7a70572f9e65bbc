"""Define macros: up to eight knobs of a whole board, which a DAW can automate. Each turns one or more parameters.

In a board file::

    macros:
      - name: Gain
        to: amp/drive            # SLOT/PARAM, or mix; one, or a list
        min: 0.2                 # optional: the part of the range to use, in the parameter's own unit
        max: 0.9
      - name: Space
        to: [reverb/wet_level, {parameter: mix, min: 0.5, max: 1}]

If a board file has no macros, the first eight parameters of its neural slots are macros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from neural_fx.errors import ParameterError
from neural_fx.native_ranges import NativeParameter
from neural_fx.parameters import Parameter
from neural_fx.values import between, finite_number, shown, suggestion

MOST_MACROS = 8
UNITS = {"db": "dB", "hz": "Hz", "ms": "ms", "seconds": "s", "semitones": "st"}
"""Units by the suffix of native plugins' parameter names."""

Table = Mapping[str, Parameter | None]
"""The parameters of a board by address, such as ``amp/drive``. None stands for an unknown range."""


@dataclass(frozen=True)
class Target:
    """A parameter that a macro turns.

    Attributes:
        address: ``SLOT/PARAM`` or ``mix``.
        minimum: value when the macro is at 0, in the parameter's unit; None for the parameter's own minimum.
        maximum: value when the macro is at 1; None for the parameter's own maximum. It may be below `minimum`.
    """

    address: str
    minimum: float | None = None
    maximum: float | None = None

    def limits(self, table: Table) -> tuple[float, float]:
        """Return the values when the macro is at 0 and at 1.

        Raises:
            ParameterError: there is no such parameter (lists them), a limit is outside its range, or the limits are
                neither given nor known.
        """
        if self.address not in table:
            hint = suggestion(self.address, table)
            raise ParameterError(f"nothing at {shown(self.address)}{hint}; there is: {', '.join(table)}")
        parameter = table[self.address]
        if parameter is not None:
            low = parameter.minimum if self.minimum is None else parameter.check(self.minimum)
            high = parameter.maximum if self.maximum is None else parameter.check(self.maximum)
            return low, high
        if self.minimum is None or self.maximum is None:
            raise ParameterError(f"{self.address}: its range is unknown; state min and max")
        return finite_number(self.minimum, f"{self.address}: min"), finite_number(self.maximum, f"{self.address}: max")


@dataclass(frozen=True)
class Macro:
    """A knob from 0 to 1 that turns parameters of a board together.

    Attributes:
        name: for display.
        targets: what it turns. The value of the first one gives the macro's own position.
    """

    name: str
    targets: tuple[Target, ...]

    def position(self, table: Table, value: Callable[[str], object]) -> float:
        """Return the position of the knob, 0..1, from the value of its first target.

        Args:
            table: parameters of the board.
            value: function that returns the value of a parameter by its address.

        Raises:
            ParameterError: the value is not a number, but for example a filter mode.
        """
        address = self.targets[0].address
        low, high = self.targets[0].limits(table)
        now = finite_number(value(address), f"{address}: a macro turns numbers")
        return min(max((now - low) / (high - low), 0.0), 1.0) if high != low else 0.0

    def values(self, table: Table, share: float) -> dict[str, float]:
        """Return the values of its targets by address.

        Args:
            table: parameters of the board.
            share: position of the knob, 0..1.
        """
        limits = {target.address: target.limits(table) for target in self.targets}
        return {address: between(low, high, share) for address, (low, high) in limits.items()}

    def unit(self, table: Table) -> tuple[float, float, str]:
        """Return the first target's values at 0 and 1, and its unit, to show beside the knob."""
        address = self.targets[0].address
        parameter = table[address]
        unit = parameter.unit if parameter is not None else UNITS.get(address.rpartition("_")[2], "")
        return (*self.targets[0].limits(table), unit)


def default_macros(table: Table) -> tuple[Macro, ...]:
    """Return the first eight parameters of neural slots as macros. Each has the name of its parameter.

    Bypass switches, the board's mix and native plugins are left out. A capture's own knobs come before input and
    output gains. If two slots have a parameter of the same name, the slot's name is put in front.
    """
    known = [place for place, parameter in table.items() if _is_knob(place, parameter)]
    places = sorted(known, key=lambda place: place.endswith("put_gain_db"))[:MOST_MACROS]
    names = [place.rpartition("/")[2] for place in places]
    spelled = [
        (place.replace("/", " ") if names.count(name) > 1 else name).replace("_", " ").capitalize()
        for place, name in zip(places, names, strict=True)
    ]
    return tuple(Macro(name, (Target(place),)) for name, place in zip(spelled, places, strict=True))


def _is_knob(place: str, parameter: Parameter | None) -> bool:
    if parameter is None or isinstance(parameter, NativeParameter):
        return False
    return place not in ("mix", "bypass") and not place.endswith("/bypass") and not place.startswith("macro/")
