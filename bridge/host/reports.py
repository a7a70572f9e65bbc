"""Deliver messages from audio threads to the log and to clients. An audio thread never waits for this."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from bridge import limits


class Reports:
    """Deliver reports on a thread of its own.

    Args:
        deliver: called with (board name, sentence). It may be slow, and may raise.
        clock: returns rising seconds.
        repeat_seconds: time in which the same report is delivered once; 0 delivers all.
    """

    def __init__(
        self,
        deliver: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
        repeat_seconds: float = limits.REPORT_REPEAT_SECONDS,
    ) -> None:
        self.deliver = deliver
        self.clock = clock
        self.repeat_seconds = repeat_seconds
        self.dropped = 0
        self._queue: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._delivered: dict[tuple[str, str], float] = {}
        self._repeated: dict[tuple[str, str], int] = {}
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)
        self._thread.start()

    def __call__(self, name: str, sentence: str) -> None:
        """Queue a report. Any thread may call this. It never waits and never raises.

        Args:
            name: name of the board.
            sentence: the report.
        """
        if self._queue.qsize() < limits.REPORTS_WAITING:
            self._queue.put((name, sentence))
        else:
            self.dropped += 1

    def close(self, seconds: float = 1.0) -> None:
        """Deliver the waiting reports and stop, within a number of seconds."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            try:
                report = self._queue.get(timeout=limits.REPORT_REPEAT_SECONDS)
            except Empty:
                self._tell_repetitions()
                continue
            if report is None:
                self._tell_repetitions()
                return
            self._take(report)

    def _take(self, report: tuple[str, str]) -> None:
        now = self.clock()
        last = self._delivered.get(report)
        if last is not None and now - last < self.repeat_seconds:
            self._repeated[report] = self._repeated.get(report, 0) + 1
            return
        if len(self._delivered) >= limits.REPORTS_REMEMBERED:
            self._tell_repetitions()
            self._delivered.clear()
        self._delivered[report] = now
        self._send(*report, self._repeated.pop(report, 0))

    def _tell_repetitions(self) -> None:
        for report, count in self._repeated.items():
            self._send(*report, count)
        self._repeated.clear()

    def _send(self, name: str, sentence: str, repeated: int) -> None:
        with suppress(Exception):  # a broken log or listener must not end the reports
            self.deliver(name, f"{sentence} ({repeated} more times)" if repeated else sentence)
