"""Register runners. A `Runner` describes one, and `Callbacks` is how it reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from neural_fx.errors import NeuralFXError
from neural_fx.registry import Registry
from neural_fx.render.jobs import Job
from neural_fx.render.report import Report
from neural_fx.values import suggestion

AUTO = "auto"
"""Name that stands for ``here`` with one job at a time, and for ``processes`` with more."""


@dataclass(frozen=True)
class Callbacks:
    """What a runner calls while it works, from the thread in which it was started.

    Attributes:
        advance: takes the seconds of audio done since its last call, of all jobs together.
        finished: takes the number of a job and its report.
        stop: returns whether to stop. Call it several times a second.
    """

    advance: Callable[[float], None]
    finished: Callable[[int, Report], None]
    stop: Callable[[], bool]


@dataclass(frozen=True)
class Runner:
    """A way to run many renders.

    Attributes:
        name: name for ``--runner``.
        help: what it does, in a few words.
        run: function that runs jobs, by calling `Job.run` for each of them wherever it likes. It gets the jobs, how
            many may run at the same time, and the callbacks. Once `stop` returns true, it ends the jobs and returns or
            raises `Interrupted`. A job without a report counts as failed.

    Raises:
        ValueError: the name is ``auto``.
    """

    name: str
    help: str
    run: Callable[[Sequence[Job], int, Callbacks], None]

    def __post_init__(self) -> None:
        if self.name == AUTO:
            raise ValueError(f"no runner can have the name {AUTO!r}, which stands for the usual one")


RUNNERS = Registry(
    "neural_fx.runners",
    Runner,
    built_in=("neural_fx.render.runners.here:HERE", "neural_fx.render.runners.processes:PROCESSES"),
)
"""All runners."""


def find_runner(name: str, workers: int = 1) -> Runner:
    """Return a runner.

    Args:
        name: of the runner, or ``auto``.
        workers: how many jobs may run at the same time, for ``auto``.

    Raises:
        NeuralFXError: there is no such runner. Lists the known ones.
    """
    if name == AUTO:
        name = "here" if workers == 1 else "processes"
    if name not in RUNNERS:
        known = [AUTO, *RUNNERS.names()]
        raise NeuralFXError(f"unknown runner {name!r}{suggestion(name, known)}; known: {', '.join(known)}")
    return RUNNERS[name]
