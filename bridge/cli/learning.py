"""What `train` and `train-timbre` share: checkpoints while they run, and how they end, well or not."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from rich.console import Console

from bridge.cli.progress import say
from bridge.cli.signals import Stopped, postponed
from neural_fx.errors import TrainingError, reason
from neural_fx.optional import install_command, is_installed
from neural_fx.outputs import check_output

if TYPE_CHECKING:
    from neural_fx.training.course import Course


class Trainable(Protocol):
    """What both trainers have."""

    course: Course

    @property
    def fraction(self) -> float:
        """How much of the training is done: 0 to 1."""

    def validate(self) -> object:
        """Measure the weights as they stand."""

    def save(self, path: Path) -> None:
        """Write a checkpoint."""

    def load(self, path: Path) -> list[str]:
        """Go on from a checkpoint; returns remarks."""


@dataclass(frozen=True)
class Session:
    """A training on the command line.

    Args:
        trainer: what trains.
        out: the file that it is for; the checkpoint is beside it.
        write: writes the best so far to `out`, whole or not at all.
        result: the best error so far, for people.
        console: for messages.
        resumed: whether it is to go on from the checkpoint.
    """

    trainer: Trainable
    out: Path
    write: Callable[[], None]
    result: Callable[[], str]
    console: Console
    resumed: bool = False

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint is."""
        return checkpoint_of(self.out)

    def say(self, sentence: str) -> None:
        """Print a line."""
        say(self.console, sentence)

    def resume(self) -> None:
        """Go on from the checkpoint, if that is asked for.

        Raises:
            TrainingError: it is damaged, or of another training.
        """
        if not self.resumed:
            return
        for remark in self.trainer.load(self.checkpoint):
            self.say(remark)
        self.say(f"going on from {self.checkpoint}: {self._done()}, {self.result()}")
        if self.trainer.fraction >= 1:
            self.say("what --minutes or --epochs allow is already spent; with more of them it trains on")

    def run(self, train: Callable[[Callable[[], None]], None]) -> None:
        """Train, then write the file; whatever happens, what was learned is kept.

        Args:
            train: trains; calls what it is given after every step.

        Raises:
            TrainingError: the training failed, or the file cannot be written; says what was kept.
            Stopped: Ctrl-C or a signal came, and what was learned is kept.
        """
        with postponed() as ending:
            self._run(train, ending.check)
            ending.check()

    def _run(self, train: Callable[[Callable[[], None]], None], check: Callable[[], None]) -> None:
        from neural_fx.training.keeping import Keeper

        keeper = Keeper(self.trainer.save, self.checkpoint, self.say, kept=self.resumed)

        def after_step() -> None:
            check()
            keeper()

        try:
            train(after_step)
        except Stopped:
            self._keep_what_there_is(keeper.keep())
            raise
        except (RuntimeError, MemoryError, OSError) as error:  # torch, the device, the memory
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            kept = f"{self.checkpoint} keeps what was learned for --resume" if keeper.kept else "nothing was kept"
            raise TrainingError(f"the training failed after {self._done()}: {reason}; {kept}") from None
        problem = keeper.keep()
        try:
            self.write()
        except OSError as error:
            self._not_written(error, problem)
        self.checkpoint.unlink(missing_ok=True)

    def _keep_what_there_is(self, problem: str) -> None:
        """Say in one line what an interruption leaves."""
        parts = [f"stopped after {self._done()}"]
        if problem:
            parts.append(f"{self.checkpoint} cannot be written ({problem})")
        else:
            parts.append(f"{self.checkpoint} keeps the state, and --resume goes on from there")
        if self.trainer.course.steps:
            try:
                if not self.trainer.course.points:
                    self.trainer.validate()
                self.write()
                parts.append(f"{self.out} has the best so far, {self.result()}")
            except OSError as error:
                parts.append(f"{self.out} cannot be written ({reason(error)})")
        self.say("; ".join(parts))

    def _not_written(self, error: OSError, problem: str) -> NoReturn:
        text = f"{self.out}: cannot be written: {reason(error)}"
        if problem:
            raise TrainingError(f"{text}; neither can {self.checkpoint} ({problem}), so the training is lost") from None
        raise TrainingError(
            f"{text}; {self.checkpoint} keeps the training: make room, then repeat the command with --resume"
        ) from None

    def _done(self) -> str:
        return str(self.trainer.course)


def checkpoint_of(out: Path) -> Path:
    """Return where the checkpoint of a training is that makes a file."""
    return out.with_suffix(".ckpt")


def check_start(out: Path, resume: bool, overwrite: bool) -> None:
    """Raise early what would otherwise be found after the training.

    Args:
        out: the file to write.
        resume: whether to go on from its checkpoint.
        overwrite: whether an existing file, or a checkpoint, may be replaced.

    Raises:
        TrainingError: the file exists, its folder does not, or a checkpoint is missing or in the way.
    """
    checkpoint = checkpoint_of(out)
    if not os.path.isdir(out.parent):
        raise TrainingError(f"{out.parent}: no such folder")
    if os.path.isdir(out):
        raise TrainingError(f"{out}: is a folder; name a file")
    if resume and not os.path.isfile(checkpoint):
        raise TrainingError(f"{checkpoint}: no checkpoint to go on from; leave out --resume to start")
    check_output(out, True, ())
    if resume or overwrite:
        return
    if os.path.lexists(out):
        raise TrainingError(f"{out}: exists already; --overwrite replaces it")
    if os.path.exists(checkpoint):
        raise TrainingError(
            f"{checkpoint}: is left by an interrupted training; --resume goes on with it, --overwrite starts anew"
        )


def wants_report(report: bool | None, console: Console) -> bool:
    """Return whether to write a report: as asked for, else if matplotlib is there.

    Raises:
        TrainingError: it was asked for, and matplotlib is missing.
    """
    if report is False:
        return False
    if is_installed("matplotlib.figure"):
        return True
    if report:
        raise TrainingError(f"--report needs matplotlib: {install_command('matplotlib')}")
    say(console, f"there will be no report, because matplotlib is missing: {install_command('matplotlib')}")
    return False
