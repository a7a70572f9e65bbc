"""Define the parameters of processors and instruments.

Each has one table. Attributes, `--set`, board files, OSC, MIDI and the DAW plugin all read it.
"""

from __future__ import annotations

import copy
import math
import threading
from abc import ABCMeta
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from neural_fx import blocks
from neural_fx.errors import ParameterError
from neural_fx.values import between, finite_number, shown, suggestion, switch


@dataclass(frozen=True)
class Parameter:
    """A knob.

    Attributes:
        name: of the attribute.
        minimum: smallest value.
        maximum: largest value.
        default: start value.
        unit: for display, such as ``dB``; empty for a plain number.
        smoothing: seconds that a change takes, in a straight line; 0 for at once.
        description: what it does, for listings.
    """

    name: str
    minimum: float
    maximum: float
    default: float
    unit: str = ""
    smoothing: float = blocks.SMOOTHING_SECONDS
    description: str = ""

    def check(self, value: object) -> float:
        """Convert a value to a float, and check that it is in the range.

        Args:
            value: a number of any kind, or text such as ``0.5``. If the range is 0 to 1, booleans and words such as
                ``on`` and ``no`` count as 1 and 0.

        Raises:
            ParameterError: not a finite number, or outside the range.
        """
        known = switch(value) if self.minimum == 0 and self.maximum == 1 else None
        number = finite_number(value, self.name) if known is None else known
        if not self.minimum <= number <= self.maximum:
            unit = f" {self.unit}" if self.unit else ""
            raise ParameterError(
                f"{self.name}: {number:.9g} is outside its range {self.minimum:g} to {self.maximum:g}{unit}"
            )
        return number

    def at(self, share: float) -> float:
        """Return the value at a fraction of the range: 0 for the minimum, 1 for the maximum."""
        return between(self.minimum, self.maximum, share)

    @property
    def range_text(self) -> str:
        """Range, unit and default, for listings, such as ``0 .. 1, default 0.5``."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.minimum:g} .. {self.maximum:g}{unit}, default {self.default:g}"


def unknown_parameter(owner: str, name: str, valid: Mapping[str, object] | list[str]) -> ParameterError:
    """Return the error for an unknown parameter. It suggests the nearest name and lists all.

    Args:
        owner: what the parameter was asked of, such as the name of a class.
        name: the unknown name.
        valid: names of the parameters that there are.
    """
    names = list(valid)
    hint = suggestion(name, names)
    return ParameterError(f"{owner} has no parameter {shown(name)}{hint}; it has: {', '.join(names) or 'none'}")


class _Sealing(ABCMeta):
    """Refuse assignments to unknown public names after `__init__`, so that a misspelled knob is an error."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if "_table" not in vars(made):
            raise RuntimeError(f"{cls.__name__}.__init__ does not call super().__init__(); call it in its first line")
        object.__setattr__(made, "_sealed", True)
        return made


class Parametric(metaclass=_Sealing):
    """Base of processors and instruments, whose parameters are attributes.

    It can be copied and pickled at any time. A copy has locks of its own.

    A subclass lists its `PARAMETERS`. It also annotates each one, as in ``drive: float``, so that type checkers find
    misspelled ones.
    """

    PARAMETERS: tuple[Parameter, ...] = ()
    _sealed = False

    def __init__(self, **values: float) -> None:
        """Set parameters by name. The others start at their defaults.

        Raises:
            ParameterError: an unknown name (lists the valid ones) or a value out of range.
        """
        self._table: dict[str, Parameter] = {p.name: p for p in self.PARAMETERS}
        self._values: dict[str, float] = {p.name: p.default for p in self.PARAMETERS}
        self._lock = threading.RLock()
        for name, value in values.items():
            self.set_parameter(name, value)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The parameter table, by name."""
        return self._table

    def set_parameter(self, name: str, value: object) -> None:
        """Set a parameter. In a running stream, the value moves there over the smoothing time.

        Args:
            name: of the parameter.
            value: as for `Parameter.check`.

        Raises:
            ParameterError: an unknown name (lists the valid ones) or a value out of range.
        """
        if name not in self._table:
            raise unknown_parameter(type(self).__name__, name, self._table)
        self._values[name] = self._table[name].check(value)

    if not TYPE_CHECKING:  # type checkers see the annotations of each class instead

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            if "_table" not in self.__dict__:
                raise AttributeError(f"{name!r} is not set; does {type(self).__name__} call super().__init__() first?")
            if name in self._values:
                return self._values[name]
            raise unknown_parameter(type(self).__name__, name, self._table)

        def __setattr__(self, name: str, value: Any) -> None:
            public = not name.startswith("_")
            if public and name in self.__dict__.get("_table", ()):
                self.set_parameter(name, value)
            elif public and self._sealed and name not in self.__dict__ and not hasattr(type(self), name):
                raise unknown_parameter(type(self).__name__, name, self._table)
            else:
                object.__setattr__(self, name, value)

    # -- copies ------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.pop("_lock", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["_lock"] = threading.RLock()

    def __copy__(self) -> Self:
        """Return a copy with lists and tables of its own. Their items are shared with the original."""
        made = type(self).__new__(type(self))
        shared = self.__getstate__()
        made.__setstate__({k: copy.copy(v) if type(v) in (dict, list, set, deque) else v for k, v in shared.items()})
        return made

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._table]

    def __repr__(self) -> str:
        return self.described("neural_fx." + type(self).__name__)

    def described(self, what: str) -> str:
        """Return `what` with the values of all parameters, for `repr`."""
        values = "".join(f" {k}={v:g}" for k, v in self._values.items())
        return f"<{what}{values} at {hex(id(self))}>"


class Ramp:
    """A value that moves to its target in a straight line, independent of the block sizes.

    Args:
        value: at the start.
        samples: length of a move.
    """

    def __init__(self, value: float, samples: int) -> None:
        self.value = self.target = value
        self.held = np.float32(value)  # while nothing moves
        self.samples, self.left = max(1, samples), 0
        self.step = 0.0

    def aim(self, target: float) -> None:
        """Start moving to `target` from the current value."""
        if target != self.target:
            self.target, self.left = target, self.samples
            self.step = (target - self.value) / self.samples

    def next(self, count: int) -> NDArray[np.float32] | np.float32:
        """Return the next `count` values: an array (count,) while the value moves, else the one value."""
        if not self.left:
            return self.held
        moving = min(self.left, count)
        values = np.full(count, self.target, np.float32)
        # Computed from the end and not summed up, so that block sizes make no difference.
        values[:moving] = self.target - self.step * (self.left - np.arange(1, moving + 1))
        self.left -= moving
        self.value = self.target - self.step * self.left if self.left else self.target
        self.held = np.float32(self.value)
        return values


def decibels(db: float) -> float:
    """Convert a gain in dB to a linear factor.

    >>> decibels(-20.0)
    0.1
    """
    return math.pow(10, db / 20)
