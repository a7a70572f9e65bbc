"""Render many files through a board."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from neural_fx.files import remove_stale_parts
from neural_fx.pedalboard import Pedalboard
from neural_fx.render.jobs import BoardRecipe, Job
from neural_fx.render.output import DEFAULT_OUTPUT, Output
from neural_fx.render.report import Interrupted, Report, failed
from neural_fx.render.runners.registry import AUTO, Callbacks, find_runner


def render_all(
    pairs: list[tuple[Path, Path]],
    make_board: Callable[[], Pedalboard],
    output: Output = DEFAULT_OUTPUT,
    jobs: int = 1,
    advance: Callable[[float], None] = lambda seconds: None,
    finished: Callable[[Report], None] = lambda report: None,
    stop: Callable[[], bool] = lambda: False,
    runner: str = AUTO,
) -> list[Report]:
    """Render files through a board. A bad file is reported and does not stop the others.

    Args:
        pairs: input and output file of each render.
        make_board: makes a board. It must be picklable unless the runner is ``here``, because other processes make
            boards of their own.
        output: sample rate, sample format, tail, and whether to replace files.
        jobs: files to render at the same time.
        advance: called with the seconds of audio done since its last call.
        finished: called with each report as it comes.
        stop: called several times a second. Once it returns true, all renders end.
        runner: name of a runner in `RUNNERS`. ``auto`` is ``here`` for one job and ``processes`` for more.

    Returns:
        Reports in the order of `pairs`. Where a file failed, `error` is set.

    Raises:
        NeuralFXError: the board cannot be made, or there is no such runner.
        Interrupted: `stop` returned true. The output of every unfinished render was removed.
    """
    jobs = max(1, min(jobs, len(pairs)))
    chosen = find_runner(runner, jobs)
    recipe = BoardRecipe(make_board)
    recipe.board()  # before any process starts: if it cannot be made, there is one error and not one for each job
    if not pairs:
        return []
    collected = _Collected(
        [Job(number, source, target, recipe, output) for number, (source, target) in enumerate(pairs)], finished, stop
    )
    # A runner may also be interrupted by something else, such as a signal to one of its processes.
    with suppress(Interrupted):
        chosen.run(collected.jobs, jobs, Callbacks(advance, collected.finished, collected.stop))
    return collected.complete()


class _Collected:
    """The reports of a runner, in the order of its jobs.

    Args:
        jobs: that it runs.
        finished: called with each report as it comes.
        stop: returns whether to stop. It is not called again once it has returned true.
    """

    def __init__(self, jobs: Sequence[Job], finished: Callable[[Report], None], stop: Callable[[], bool]) -> None:
        self.jobs = jobs
        self._finished = finished
        self._stop = stop
        self._stopped = False
        self._reports: dict[int, Report] = {}

    def finished(self, number: int, report: Report) -> None:
        self._reports[number] = report
        self._finished(report)

    def stop(self) -> bool:
        self._stopped = self._stopped or self._stop()
        return self._stopped

    def complete(self) -> list[Report]:
        """Return all reports. A job without one has failed, and its temporary file is removed.

        Raises:
            Interrupted: a job has no report because the user stopped the renders.
        """
        lost = [job for job in self.jobs if job.number not in self._reports]
        for folder in {job.target.parent for job in lost}:
            remove_stale_parts(folder)
        if lost and self._stopped:
            raise Interrupted
        for job in lost:
            error = f"{job.source}: the process that rendered it died; there may be too little memory"
            self._reports[job.number] = failed(job.source, job.target, error)
        return [self._reports[job.number] for job in self.jobs]
