"""Run one job at a time on a thread of its own. Of several jobs that wait, only the latest runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class _Job:
    work: Callable[[], None]
    dropped: Callable[[], None]


class Latest:
    """Run jobs that replace each other, such as boards to load. The thread ends when there is no work.

    Args:
        name: name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._waiting: _Job | None = None
        self._busy = False

    def put(self, work: Callable[[], None], dropped: Callable[[], None]) -> None:
        """Run a job after the one that runs now, in place of the one that waits.

        Args:
            work: the job. It reports its failures itself.
            dropped: called instead if another job replaces this one before it starts.
        """
        with self._lock:
            replaced, self._waiting = self._waiting, _Job(work, dropped)
            begins, self._busy = not self._busy, True
        if begins:
            self._begin()
        if replaced is not None:
            with suppress(Exception):  # an error of another sender's callback is not the caller's
                replaced.dropped()

    def _begin(self) -> None:
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError:  # the system has no more threads
            with self._lock:
                job, self._waiting, self._busy = self._waiting, None, False
            if job is not None:
                with suppress(Exception):
                    job.dropped()

    def _run(self) -> None:
        while True:
            with self._lock:
                job, self._waiting = self._waiting, None
                self._busy = job is not None
            if job is None:
                return
            with suppress(Exception):  # a job reports its own failures, and the next one must run
                job.work()
