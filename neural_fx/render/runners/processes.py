"""Run renders in several processes of this machine."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from neural_fx import blocks
from neural_fx.render.jobs import Job
from neural_fx.render.report import Interrupted, Report
from neural_fx.render.runners.registry import Callbacks, Runner
from neural_fx.render.workers import Ending, Progress

_POLL_SECONDS = 0.2


def run(jobs: Sequence[Job], workers: int, callbacks: Callbacks) -> None:
    """Run jobs in new processes, each with a board of its own. A process takes the next job when it is free.

    Args:
        jobs: what to run.
        workers: number of processes.
        callbacks: what to call.
    """
    _start_resource_tracker()
    # Forking copies a process with threads (BLAS, torch) into a state that can lock up.
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    messages = context.Queue()
    stopping = context.Event()
    for number in [*range(len(jobs)), *[None] * workers]:
        numbers.put(number)
    # The jobs go to each process in one piece, so that they share one board there.
    processes = [
        context.Process(target=_work, args=(list(jobs), numbers, messages, stopping), daemon=True)
        for _ in range(workers)
    ]
    try:
        for process in processes:
            process.start()
        _follow(jobs, messages, processes, callbacks)
    finally:
        stopping.set()
        _end(processes)


def _follow(jobs: Sequence[Job], messages: Any, processes: Iterable[BaseProcess], callbacks: Callbacks) -> None:
    """Pass on messages until all jobs have a report, the user stops them, or all processes have died."""
    left = len(jobs)
    while left and not callbacks.stop():
        alive = any(process.is_alive() for process in processes)
        try:
            number, message = messages.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            if alive:
                continue
            return
        if isinstance(message, Report):
            left -= 1
            callbacks.finished(number, message)
        else:
            callbacks.advance(message)


def _start_resource_tracker() -> None:
    """Start multiprocessing's helper with SIGHUP blocked, which it inherits.

    It ignores SIGINT and SIGTERM by itself. A closing terminal sends SIGHUP to all processes, and without the helper
    the others end in tracebacks.
    """
    if not hasattr(signal, "SIGHUP"):
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(processes: Iterable[BaseProcess]) -> None:
    """Wait until all processes have ended, as they were asked to. Kill those that do not."""
    deadline = time.monotonic() + blocks.RENDER_STOP_SECONDS
    for process in processes:
        if process.pid is not None:
            process.join(timeout=max(0.1, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()


def _work(jobs: Sequence[Job], numbers: Any, messages: Any, stopping: Any) -> None:
    """Run jobs in a worker process.

    Args:
        jobs: all jobs.
        numbers: queue of the jobs to run. None ends the process.
        messages: queue for the number of a job, with seconds done or with its report.
        stopping: event that ends the process.
    """
    ending = Ending(stopping.is_set)
    jobs[0].recipe.board()  # before a job is taken: a process that dies of it loses none
    while not ending():
        try:
            number = numbers.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        if number is None:
            break
        with suppress(Interrupted):
            _run_job(jobs[number], messages, ending)
    if ending():
        messages.cancel_join_thread()  # nobody reads any more


def _run_job(job: Job, messages: Any, ending: Ending) -> None:
    progress = Progress(lambda seconds: messages.put((job.number, seconds)))
    report = job.run(progress, ending)
    progress.flush()
    messages.put((job.number, report))


PROCESSES = Runner("processes", "several at a time, each in a process of its own", run)
