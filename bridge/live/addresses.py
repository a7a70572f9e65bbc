"""Map the parameters of a board to the ramps of its plan in the native loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from bridge.host.changes import Change
from bridge.host.stream import BoardStream, Voice
from bridge.host.targets import SWITCH
from neural_fx.native_loop import Plan
from neural_fx.processor import Processor

Aim = tuple[int, int, float, float, float]
"""A change for the loop: ramp, frame offset, value in the parameter's unit, target of the ramp, and Unix time."""


class Addresses:
    """Map the parameters of a board to the ramps of its plan.

    Args:
        stream: the stream.
        voice: the board that plays or fades in.
        plan: its plan.
    """

    def __init__(self, stream: BoardStream, voice: Voice, plan: Plan) -> None:
        self.stream = stream
        self.voice = voice
        self.plan = plan
        self._ramps: dict[str, int | None] = {}
        self._known: dict[int, tuple[str, bool]] = {}

    def aims(self, change: Change) -> list[Aim] | None:
        """Convert a change for the loop. Return None if only Python can make it.

        Raises:
            NeuralFXError: the address is unknown, or the value is out of range.
        """
        if change.is_note:
            return []  # a board in the loop has no instrument
        found = []
        for address, ramp, setting, target in self._moves(change.address, change.value):
            if ramp is None:
                return None
            self._known[ramp] = address, address.endswith("/bypass")
            found.append((ramp, change.offset, setting, target, change.when))
        return found

    def change(self, ramp: int, offset: int, setting: float, target: float, when: float) -> Change:
        """Convert a change that the loop has not made yet to a change for Python.

        Args:
            ramp: index of the ramp.
            offset: frames into the next block.
            setting: value in the parameter's unit.
            target: target of the ramp.
            when: Unix time in seconds; 0 for `offset`.
        """
        address, switch = self._known[ramp]
        return Change(address, 1.0 - setting if switch else setting, offset, when)

    def _moves(self, address: str, value: object) -> Iterator[tuple[str, int | None, float, float]]:
        """Yield the address, the ramp, the value in the parameter's unit, and the ramp's target.

        A macro has several of them. The ramp is None if the parameter has none.
        """
        if address == "bypass":
            setting = SWITCH.check(value)
            yield address, self._ramp(address, self.stream, "bypass"), setting, 1.0 - setting
            return
        for target, number in self.voice.targets.get(address).settings(value):
            setting = target.checked(number)
            owner = cast("Processor", target.owner)
            ramp = self._ramp(target.address, owner, target.name)
            yield target.address, ramp, setting, self.plan.target(owner, target.name, setting)

    def _ramp(self, address: str, owner: object, name: str) -> int | None:
        """Return the ramp of a parameter. It is searched only once."""
        if address not in self._ramps:
            self._ramps[address] = self.plan.find(owner, name)
        return self._ramps[address]
