"""Record steps, time and errors of a training, and decide when checkpoints and validations are due."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

CHECKPOINT_SECONDS = 60.0
"""Seconds between checkpoints. A crash loses at most this much, plus a step or a validation."""
VALIDATION_SECONDS = 60.0
"""Seconds after which a validation is due, even if the number of steps does not ask for one yet."""


@dataclass
class Course:
    """Steps, time and errors of a training.

    Attributes:
        steps: steps done so far.
        seconds: seconds spent so far, including validations.
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
        """Return the minutes that a number of steps takes on this machine, at least twice the time spent so far.

        Rounded up to whole minutes, above 10 to steps of 5 minutes, and above 60 to half hours.
        """
        pace = self.seconds / max(self.steps, 1)
        wanted = max(steps * pace, 2 * self.seconds) / 60
        for limit, unit in ((10, 1), (60, 5), (math.inf, 30)):
            if wanted <= limit:
                return max(1, math.ceil(wanted / unit) * unit)
        raise AssertionError("unreachable")

    def improving(self, share: float = 1 / 3, by: float = 0.2) -> bool:
        """Return whether the lowest error was still falling at the end.

        Args:
            share: share of the time that counts as the end.
            by: share by which the error must have fallen in it.
        """
        before = [error for _, at, error in self.points if at <= (1 - share) * self.seconds]
        after = [error for _, at, error in self.points if at > (1 - share) * self.seconds]
        return bool(before and after) and min(after) < (1 - by) * min(before)

    def __str__(self) -> str:
        time_spent = f"{self.minutes:.1f} minutes" if self.seconds >= 60 else f"{self.seconds:.0f} seconds"
        return f"{self.steps} step{'' if self.steps == 1 else 's'} in {time_spent}"


class Due:
    """Decide when a repeated task is due.

    Args:
        seconds: time between two runs of the task.
        clock: returns monotonic seconds.
        part: largest share of the time that the task may take. A slow task is due less often.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic, part: float = 0.1) -> None:
        self.seconds = seconds
        self.clock = clock
        self.part = part
        self._next = clock() + seconds

    def __call__(self) -> bool:
        """Return whether the task is due."""
        return self.clock() >= self._next

    def done(self, cost: float = 0.0) -> None:
        """Start counting again, after a run of the task.

        Args:
            cost: seconds that the task took.
        """
        self._next = self.clock() + max(self.seconds, cost / self.part)
