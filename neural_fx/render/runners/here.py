"""Run renders in this process, one after another."""

from __future__ import annotations

from collections.abc import Sequence

from neural_fx.render.jobs import Job
from neural_fx.render.runners.registry import Callbacks, Runner


def run(jobs: Sequence[Job], workers: int, callbacks: Callbacks) -> None:
    """Run jobs in this process, in their order.

    Args:
        jobs: what to run.
        workers: not used. Threads would share one interpreter, and two of them run no faster than one (measured).
        callbacks: what to call.

    Raises:
        Interrupted: `callbacks.stop` returned true during a job.
    """
    for job in jobs:
        if callbacks.stop():
            return
        callbacks.finished(job.number, job.run(callbacks.advance, callbacks.stop))


HERE = Runner("here", "one after another, in this process", run)
