"""Code that `train` and `train-timbre` share: options, progress, checkpoints, the end of a training, and reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, NoReturn, Protocol, TypeVar

import typer
from rich.console import Console

from bridge.cli.progress import Standing, say
from bridge.cli.signals import Stopped, postponed
from neural_fx.errors import AudioError, TrainingError, reason
from neural_fx.optional import install_command, is_installed
from neural_fx.outputs import check_output

if TYPE_CHECKING:
    from neural_fx.training.course import Course


Minutes = Annotated[float, typer.Option(min=0.01, max=10000, help="Minutes to train.")]
Threads = Annotated[int, typer.Option(min=0, max=256, help="Cores to train on. 0 takes all of them.")]

Progress = TypeVar("Progress")
ProgressOut = TypeVar("ProgressOut", covariant=True)


class Findings(Protocol):
    """What a report says of a training."""

    @property
    def words(self) -> Sequence[str]:
        """Sentences to print."""


class Trainable(Protocol[ProgressOut]):
    """Common interface of both trainers."""

    course: Course

    @property
    def fraction(self) -> float:
        """Share of the training that is done, 0 to 1."""

    def run(self, *, tick: Callable[[ProgressOut], None]) -> object:
        """Train until the time is up. `tick` is called after every step."""

    def validate(self) -> object:
        """Measure the current weights."""

    def save(self, path: Path) -> None:
        """Write a checkpoint."""

    def load(self, path: Path) -> list[str]:
        """Continue from a checkpoint, and return remarks to print."""


@dataclass(frozen=True)
class Session(Generic[Progress]):
    """A training on the command line.

    Attributes:
        trainer: the trainer.
        out: file to write. The checkpoint is in the same folder.
        write: writes the best result so far to `out`, whole or not at all.
        result: returns the best error so far as text.
        progress_text: returns the progress as text.
        console: console for messages.
        resumed: whether to continue from the checkpoint.
    """

    trainer: Trainable[Progress]
    out: Path
    write: Callable[[], None]
    result: Callable[[], str]
    progress_text: Callable[[Progress], str]
    console: Console
    resumed: bool = False

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint."""
        return checkpoint_of(self.out)

    def say(self, sentence: str) -> None:
        """Print a line."""
        say(self.console, sentence)

    def resume(self) -> None:
        """Continue from the checkpoint if `resumed` is set.

        Raises:
            TrainingError: the checkpoint is damaged or belongs to another training.
        """
        if not self.resumed:
            return
        for remark in self.trainer.load(self.checkpoint):
            self.say(remark)
        self.say(f"continuing from {self.checkpoint}: {self._done()}, {self.result()}")
        if self.trainer.fraction >= 1:
            self.say("the time or epochs are already used up; raise --minutes or --epochs to train on")

    def run(self) -> None:
        """Train and write the file. An error or a signal keeps what was learned so far.

        Raises:
            TrainingError: the training failed, or the file cannot be written. The message says what was kept.
            Stopped: Ctrl-C or a signal ended the training; what was learned is kept.
        """
        with postponed() as ending:
            self._run(ending.check)
            ending.check()

    def report(self, write: Callable[[], Findings], required: bool) -> None:
        """Write the report, and print its findings.

        Args:
            write: writes the report.
            required: whether it is an error if the report cannot be written.

        Raises:
            TrainingError: the report is required and cannot be written.
        """
        page = self.out.with_suffix(".html")
        try:
            findings = write()
        except (AudioError, TrainingError, OSError) as error:
            text = f"{page}: the report cannot be written: {reason(error)}; {self.out} is complete"
            if required:
                raise TrainingError(text) from None
            self.say(text)
            return
        for sentence in findings.words:
            self.say(sentence)
        self.say(f"{page}: the report")

    def _run(self, check: Callable[[], None]) -> None:
        from neural_fx.training.keeping import Keeper

        keeper = Keeper(self.trainer.save, self.checkpoint, self.say, kept=self.resumed)

        def after_step(progress: Progress) -> None:
            check()
            keeper()
            standing.show(self.trainer.fraction, self.progress_text(progress))

        try:
            with Standing(self.console, "training") as standing:
                self.trainer.run(tick=after_step)
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
        """Write what was learned before an interruption, and print one line about it."""
        parts = [f"stopped after {self._done()}"]
        if problem:
            parts.append(f"{self.checkpoint} cannot be written ({problem})")
        else:
            parts.append(f"{self.checkpoint} keeps the state; add --resume to continue")
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
    """Return the path of the checkpoint that belongs to an output file."""
    return out.with_suffix(".ckpt")


def check_start(out: Path, resume: bool, overwrite: bool) -> None:
    """Check before the training that its files can be written and that none is replaced by accident.

    Args:
        out: file to write.
        resume: whether to continue from its checkpoint.
        overwrite: whether an existing file or checkpoint may be replaced.

    Raises:
        TrainingError: the file exists, its folder does not, the checkpoint to resume from is missing, or a checkpoint
            exists and would be replaced.
    """
    checkpoint = checkpoint_of(out)
    if not os.path.isdir(out.parent):
        raise TrainingError(f"{out.parent}: no such folder")
    if os.path.isdir(out):
        raise TrainingError(f"{out}: is a folder; name a file")
    if resume and not os.path.isfile(checkpoint):
        raise TrainingError(f"{checkpoint}: no checkpoint to continue from; leave out --resume to start")
    check_output(out, True, ())
    if resume or overwrite:
        return
    if os.path.lexists(out):
        raise TrainingError(f"{out}: exists already; add --overwrite to replace it")
    if os.path.exists(checkpoint):
        raise TrainingError(
            f"{checkpoint}: left by an interrupted training; add --resume to continue it, or --overwrite to start again"
        )


def wants_report(report: bool | None, console: Console) -> bool:
    """Return whether to write a report.

    Args:
        report: the user's choice; None writes one if matplotlib is installed.
        console: console for a message if matplotlib is missing.

    Raises:
        TrainingError: the user asked for a report and matplotlib is missing.
    """
    if report is False:
        return False
    if is_installed("matplotlib.figure"):
        return True
    if report:
        raise TrainingError(f"--report needs matplotlib: {install_command('matplotlib')}")
    say(console, f"no report will be written, because matplotlib is missing: {install_command('matplotlib')}")
    return False
