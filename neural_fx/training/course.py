"""How long a training was, how it went, and how long it should have been; and what is due now and then during it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

CHECKPOINT_SECONDS = 60.0
"""Between checkpoints: what a crash can cost, besides a step or a validation."""
VALIDATION_SECONDS = 60.0
"""A validation is due after this time even where so few steps were done that it is not due by their number."""


@dataclass
class Course:
    """Steps, time and errors of a training.

    Attributes:
        steps: done so far.
        seconds: spent so far, validations included.
        points: (step, seconds, error) of every validation.
    """

    steps: int = 0
    seconds: float = 0.0
    points: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def minutes(self) -> float:
        """Minutes spent so far."""
        return self.seconds / 60

    def minutes_for(self, steps: float) -> int:
        """Return the minutes that so many steps take on this machine, at least twice the time spent so far.

        Rounded up to a number that people would name.
        """
        pace = self.seconds / max(self.steps, 1)
        wanted = max(steps * pace, 2 * self.seconds) / 60
        for limit, unit in ((10, 1), (60, 5), (math.inf, 30)):
            if wanted <= limit:
                return max(1, math.ceil(wanted / unit) * unit)
        raise AssertionError("unreachable")

    def improving(self, share: float = 1 / 3, by: float = 0.2) -> bool:
        """Return whether the lowest error fell by more than a part `by` in the last `share` of the time."""
        before = [error for _, at, error in self.points if at <= (1 - share) * self.seconds]
        after = [error for _, at, error in self.points if at > (1 - share) * self.seconds]
        return bool(before and after) and min(after) < (1 - by) * min(before)

    def __str__(self) -> str:
        time_spent = f"{self.minutes:.1f} minutes" if self.seconds >= 60 else f"{self.seconds:.0f} seconds"
        return f"{self.steps} step{'' if self.steps == 1 else 's'} in {time_spent}"


class Due:
    """Says when something that is done now and then is due again.

    Args:
        seconds: between two times.
        clock: monotonic seconds.
        part: at most this part of the time may go into it, so something slow is done less often.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic, part: float = 0.1) -> None:
        self.seconds = seconds
        self.clock = clock
        self.part = part
        self._next = clock() + seconds

    def __call__(self) -> bool:
        """Return whether it is due."""
        return self.clock() >= self._next

    def done(self, cost: float = 0.0) -> None:
        """Count from now on; it took `cost` seconds."""
        self._next = self.clock() + max(self.seconds, cost / self.part)
