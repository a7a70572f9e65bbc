"""Help worker processes: report progress by messages, and end when they should."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from types import FrameType

PROGRESS_SECONDS = 0.25
"""Time between two messages. A message takes about as long as a block."""


class Progress:
    """Add up the seconds of audio done, and send them a few times a second. Pass it to `Job.run` as `advance`.

    Args:
        send: sends the seconds of audio since the last message.
    """

    def __init__(self, send: Callable[[float], None]) -> None:
        self._send = send
        self._sent = time.perf_counter()
        self._seconds = 0.0

    def __call__(self, seconds: float) -> None:
        """Count seconds of audio."""
        self._seconds += seconds
        if time.perf_counter() - self._sent >= PROGRESS_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what is left."""
        self._send(self._seconds)
        self._sent = time.perf_counter()
        self._seconds = 0.0


class Ending:
    """Decide whether a worker process should end. Pass it to `Job.run` as `stop`.

    A process should end if it was asked to, if it received SIGTERM or SIGHUP, or if its parent process is gone. Ctrl-C
    reaches the parent as well, which asks, so SIGINT is ignored. Create it in the main thread of the worker process,
    because it sets signal handlers.

    Args:
        asked: returns whether the parent has asked the process to end. It is called between blocks.
    """

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked
        self._signalled = False
        self._parent = multiprocessing.parent_process()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):  # Windows has no SIGHUP
                signal.signal(getattr(signal, name), self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # No exception: it could be raised inside a queue, while that holds a lock of all processes.
        self._signalled = True

    def __call__(self) -> bool:
        """Return whether the process should end."""
        return self._signalled or self._asked() or (self._parent is not None and not self._parent.is_alive())
