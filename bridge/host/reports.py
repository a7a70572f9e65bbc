"""Deliver messages from audio threads to the log and to clients. An audio thread never waits for this."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from bridge import limits
from bridge.throttle import Throttle


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
        self.dropped = 0
        self._queue: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._throttle = Throttle[tuple[str, str]](repeat_seconds, limits.REPORTS_REMEMBERED, clock)
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
                self._send_repetitions()
                continue
            if report is None:
                self._send_repetitions()
                return
            self._take(report)

    def _take(self, report: tuple[str, str]) -> None:
        if self._throttle.full_for(report):
            self._send_repetitions()
        count = self._throttle.take(report)
        if count:
            self._send(*report, count - 1)

    def _send_repetitions(self) -> None:
        for report, count in self._throttle.flush().items():
            self._send(*report, count)

    def _send(self, name: str, sentence: str, repeated: int) -> None:
        with suppress(Exception):  # a broken log or listener must not end the reports
            self.deliver(name, f"{sentence} ({repeated} more times)" if repeated else sentence)
