"""One table of parameters per processor: attributes, `--set`, board files and, later, OSC, MIDI and the DAW read it."""

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

from neural_fx.errors import ParameterError
from neural_fx.values import between, finite_number, shown, suggestion, switch


@dataclass(frozen=True)
class Parameter:
    """A knob.

    Attributes:
        unit: for people, such as ``dB``; empty for a plain number.
        smoothing: seconds that a change takes to arrive, as a straight line; 0 for at once.
    """

    name: str
    minimum: float
    maximum: float
    default: float
    unit: str = ""
    smoothing: float = 0.02
    description: str = ""

    def check(self, value: object) -> float:
        """Return the value as a float.

        Numbers of any kind and text such as ``0.5`` are numbers. Where the range is 0 to 1, booleans and words such as
        ``on`` and ``no`` are 1 and 0.

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
        """The value at a share of the range, 0 for the minimum and 1 for the maximum."""
        return between(self.minimum, self.maximum, share)

    @property
    def range_text(self) -> str:
        """Range, unit and default for listings, such as ``0 .. 1, default 0.5``."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.minimum:g} .. {self.maximum:g}{unit}, default {self.default:g}"


def unknown_parameter(owner: str, name: str, valid: Mapping[str, object] | list[str]) -> ParameterError:
    """The error for a name that `owner` does not have; suggests the nearest one and lists all."""
    names = list(valid)
    hint = suggestion(name, names)
    return ParameterError(f"{owner} has no parameter {shown(name)}{hint}; it has: {', '.join(names) or 'none'}")


class _Sealing(ABCMeta):
    """Refuse assignments to unknown public names once `__init__` is done, so that a misspelled knob is an error."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if "_table" not in vars(made):
            raise RuntimeError(f"{cls.__name__}.__init__ does not call super().__init__(); call it in its first line")
        object.__setattr__(made, "_sealed", True)
        return made


class Parametric(metaclass=_Sealing):
    """Base of processors and instruments: parameters from one table, available as attributes.

    Can be copied and pickled at any time. Locks are left out of a copy.

    A subclass that lists `PARAMETERS` also annotates each one (``drive: float``), so that type checkers know the
    attribute and refuse a misspelled one.
    """

    PARAMETERS: tuple[Parameter, ...] = ()
    _sealed = False

    def __init__(self, **values: float) -> None:
        """Set parameters by name; the others start at their defaults.

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
        """Set a parameter; while streaming, it moves there over its smoothing time.

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
        """Return a copy with lists and tables of its own; what is in them is shared."""
        made = type(self).__new__(type(self))
        shared = self.__getstate__()
        made.__setstate__({k: copy.copy(v) if type(v) in (dict, list, set, deque) else v for k, v in shared.items()})
        return made

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._table]

    def __repr__(self) -> str:
        return self.described("neural_fx." + type(self).__name__)

    def described(self, what: str) -> str:
        """`what` with the values of all parameters, as `repr` shows it."""
        values = "".join(f" {k}={v:g}" for k, v in self._values.items())
        return f"<{what}{values} at {hex(id(self))}>"


class Ramp:
    """A value that moves to its target in a straight line, the same whatever the block sizes."""

    def __init__(self, value: float, samples: int) -> None:
        self.value = self.target = value
        self.held = np.float32(value)  # while nothing moves
        self.samples, self.left = max(1, samples), 0
        self.step = 0.0

    def aim(self, target: float) -> None:
        """Start moving to `target` from wherever the value is now."""
        if target != self.target:
            self.target, self.left = target, self.samples
            self.step = (target - self.value) / self.samples

    def next(self, count: int) -> NDArray[np.float32] | np.float32:
        """The next `count` values: an array while moving, else the one value that holds."""
        if not self.left:
            return self.held
        moving = min(self.left, count)
        values = np.full(count, self.target, np.float32)
        values[:moving] = self.target - self.step * (self.left - np.arange(1, moving + 1))
        self.left -= moving
        self.value = self.target - self.step * self.left if self.left else self.target
        self.held = np.float32(self.value)
        return values


def decibels(db: float) -> float:
    """The linear factor of a gain in dB.

    >>> decibels(-20.0)
    0.1
    """
    return math.pow(10, db / 20)
