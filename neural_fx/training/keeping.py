"""Checkpoints written every minute while a training goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neural_fx.errors import reason
from neural_fx.training.course import CHECKPOINT_SECONDS, Due


class Keeper:
    """Writes a checkpoint now and then.

    Args:
        save: writes a checkpoint to a path, whole or not at all.
        path: of the checkpoint.
        say: called with a sentence, once, when the checkpoint cannot be written.
        due: when to write.
        kept: whether there is a checkpoint of this training already; afterwards, an attribute that says so.
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
        """Write the checkpoint if it is due; a failure is reported once, and the training goes on."""
        if not self.due():
            return
        began = self.due.clock()
        problem = self.keep()
        if problem and not self._failing:
            self.say(f"{self.path}: the checkpoint cannot be written ({problem}); the training goes on without it")
        self._failing = bool(problem)
        self.due.done(self.due.clock() - began)

    def keep(self) -> str:
        """Write the checkpoint now; return why that was not possible, or nothing."""
        try:
            self.save(self.path)
        except OSError as error:
            return reason(error)
        self.kept = True
        return ""
