"""Keep repeated reports from flooding a log or a client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable


class Throttle:
    """Let one report per key and period pass. Thread-safe, with bounded memory.

    Args:
        seconds: length of the period.
        most: largest number of reports of all keys together in one period.
        clock: returns rising seconds.
    """

    def __init__(self, seconds: float = 1.0, most: int = 32, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._passed: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def passes(self, key: Hashable) -> bool:
        """Return whether a report about `key` may be made now. If so, it counts as made."""
        now = self._clock()
        with self._lock:
            self._passed = {known: at for known, at in self._passed.items() if now - at < self._seconds}
            if key in self._passed or len(self._passed) >= self._most:
                return False
            self._passed[key] = now
            return True
