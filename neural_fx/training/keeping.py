"""Write a checkpoint every minute during a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neural_fx.errors import reason
from neural_fx.training.course import CHECKPOINT_SECONDS, Due


class Keeper:
    """Write a checkpoint at regular intervals.

    Args:
        save: writes a checkpoint to a path, whole or not at all.
        path: path of the checkpoint.
        say: called with a sentence when the checkpoint cannot be written, once until it can be written again.
        due: decides when to write; None for every `CHECKPOINT_SECONDS`.
        kept: whether a checkpoint of this training already exists.

    Attributes:
        kept: whether a checkpoint of this training exists.
    """

    def __init__(
        self,
        save: Callable[[Path], None],
        path: Path,
        say: Callable[[str], None],
        due: Due | None = None,
        kept: bool = False,
    ) -> None:
        self.save = save
        self.path = path
        self.say = say
        self.due = due or Due(CHECKPOINT_SECONDS, part=0.5)
        self.kept = kept
        self._failing = False

    def __call__(self) -> None:
        """Write the checkpoint if it is due. Reports a failure once, and does not stop the training."""
        if not self.due():
            return
        began = self.due.clock()
        problem = self.keep()
        if problem and not self._failing:
            self.say(f"{self.path}: the checkpoint cannot be written ({problem}); the training continues without it")
        self._failing = bool(problem)
        self.due.done(self.due.clock() - began)

    def keep(self) -> str:
        """Write the checkpoint now, and return the reason if that failed, or an empty string."""
        try:
            self.save(self.path)
        except OSError as error:
            return reason(error)
        self.kept = True
        return ""
