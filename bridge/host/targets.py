"""Resolve an address once, so that a thread that computes audio finds what it controls by one look into a dict.

A `Hosted` board keeps its targets. Another board has other targets, so nothing outlives a change of the board.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, cast

from bridge import limits
from neural_fx.errors import ParameterError
from neural_fx.macros import Macro
from neural_fx.parameters import Parameter
from neural_fx.pedalboard import Pedalboard, Plugin
from neural_fx.slots import known_parameters, set_parameter

SWITCH = Parameter("bypass", 0, 1, 0, description="1 passes the dry input, in time")


class Target(ABC):
    """What an address controls.

    Attributes:
        address: the canonical address.
    """

    address: str

    @property
    def moved(self) -> tuple[str, ...]:
        """Addresses whose values change when this one is set."""
        return (self.address,)

    @property
    @abstractmethod
    def parameter(self) -> Parameter | None:
        """The parameter, or None if its range is unknown."""

    @abstractmethod
    def set(self, value: object) -> None:
        """Set the value, in the parameter's own unit.

        Raises:
            ParameterError: the value is out of range or of the wrong type.
        """

    @abstractmethod
    def settings(self, value: object) -> list[tuple[Setting, object]]:
        """Return the single parameters that a value sets, each with its own value.

        Raises:
            ParameterError: the value is out of range, for a macro.
        """


class Setting(Target):
    """A single parameter: a knob of a plugin, the bypass of a slot, or the mix of the board.

    Attributes:
        owner: the object that has the parameter.
        name: name of the parameter in its owner.
    """

    owner: Plugin
    name: str

    def settings(self, value: object) -> list[tuple[Setting, object]]:
        return [(self, value)]

    @abstractmethod
    def checked(self, value: object) -> float:
        """Convert a value of the address to a value of the owner's parameter.

        Raises:
            ParameterError: the value is out of range or of the wrong type.
        """


@dataclass(frozen=True, eq=False)
class Knob(Setting):
    """A parameter of a plugin."""

    address: str
    owner: Plugin
    name: str

    @property
    def parameter(self) -> Parameter | None:
        return known_parameters(self.owner).get(self.name)

    def set(self, value: object) -> None:
        set_parameter(self.owner, self.name, value)

    def checked(self, value: object) -> float:
        owner: Any = self.owner
        return float(owner.parameters[self.name].check(value))


@dataclass(frozen=True, eq=False)
class Bypass(Setting):
    """The bypass of a slot. The slot is a board of its own, and its mix is the opposite of the bypass."""

    address: str
    owner: Pedalboard
    name = "mix"

    @property
    def parameter(self) -> Parameter:
        return SWITCH

    def set(self, value: object) -> None:
        self.owner.set_parameter("mix", self.checked(value))

    def checked(self, value: object) -> float:
        return 1.0 - round(SWITCH.check(value))


@dataclass(frozen=True, eq=False)
class MacroKnob(Target):
    """A macro, which sets one or more single parameters.

    Attributes:
        address: the canonical address.
        scale: the range of the macro, 0 to 1.
        macro: the parts of the ranges that it turns.
        members: the targets of the macro.
    """

    address: str
    scale: Parameter
    macro: Macro
    members: tuple[Setting, ...]

    @property
    def parameter(self) -> Parameter:
        return self.scale

    @property
    def moved(self) -> tuple[str, ...]:
        return (self.address, *(target.address for target in self.macro.targets))

    def set(self, value: object) -> None:
        for member, number in self.settings(value):
            member.set(number)

    def settings(self, value: object) -> list[tuple[Setting, object]]:
        members = {member.address: member for member in self.members}
        values = self.macro.values(
            {address: member.parameter for address, member in members.items()}, self.scale.check(value)
        )
        return [(members[address], number) for address, number in values.items()]


class Addressed(Protocol):
    """A board that can find its targets."""

    @property
    def generation(self) -> int:
        """Number of changes to its slots so far."""

    def find(self, address: str) -> Target:
        """Return what an address controls.

        Raises:
            ParameterError: the board does not have the address.
        """


class Targets:
    """The resolved addresses of one board. Its memory is bounded, whatever addresses clients send.

    Args:
        board: the board. After a change of its slots, all addresses are resolved again.
    """

    def __init__(self, board: Addressed) -> None:
        self._board = board
        self._generation = board.generation
        self._known: dict[str, Target] = {}
        self._unknown: dict[str, tuple[float, str]] = {}  # when it was looked for, and the error

    def get(self, address: str) -> Target:
        """Return what an address controls.

        Raises:
            ParameterError: the board does not have the address. The message lists those that it has.
        """
        if self._generation != self._board.generation:
            self._generation = self._board.generation
            self._known.clear()
            self._unknown.clear()
        known = self._known.get(address)
        return known if known is not None else self._resolved(address)

    def _resolved(self, address: str) -> Target:
        """Resolve an address that was not seen before, or was refused before."""
        now = time.monotonic()
        looked, refusal = self._unknown.get(address, (-math.inf, ""))
        if now - looked < limits.ADDRESS_UNKNOWN_SECONDS:
            raise ParameterError(refusal)
        try:
            found = self._board.find(address)
        except ParameterError as error:
            if len(address) <= limits.ADDRESS_UNKNOWN_CHARACTERS:
                if len(self._unknown) >= limits.ADDRESSES_UNKNOWN:
                    self._unknown.clear()
                self._unknown[address] = now, str(error)
            raise
        if len(self._known) >= limits.ADDRESSES_KNOWN:
            self._known.clear()
        self._unknown.pop(address, None)
        self._known[address] = found
        return found


def inside(slot: Plugin) -> Plugin:
    """Return the plugin in a slot of a `Hosted` board."""
    return cast("Pedalboard", slot)[0]
