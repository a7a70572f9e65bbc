"""Keep repeated reports from flooding a log or a client."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bridge import limits
from bridge.security.text import cleaned

Key = TypeVar("Key", bound=Hashable)


@dataclass
class _Report:
    """When a report was made, and how often it was held back since."""

    made: float
    held: int = 0


class Throttle(Generic[Key]):
    """Let one report per key and period pass, and count those held back. Thread-safe, with bounded memory.

    Args:
        seconds: length of the period.
        most: largest number of reports of all keys together in one period.
        clock: returns rising seconds.
    """

    def __init__(
        self,
        seconds: float = limits.NOTICE_REPEAT_SECONDS,
        most: int = limits.NOTICES_PER_PERIOD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._reports: dict[Key, _Report] = {}
        self._lock = threading.Lock()

    def passes(self, key: Key) -> bool:
        """Return whether a report about `key` may be made now. If so, it counts as made."""
        return self.take(key) > 0

    def take(self, key: Key) -> int:
        """Ask whether a report about `key` may be made now. If so, it counts as made.

        Returns:
            0 if it is held back, else the number of reports that it stands for: itself and those held back before.
        """
        with self._lock:
            now = self._clock()
            known = self._reports.get(key)
            if known is not None and now - known.made < self._seconds:
                known.held += 1
                return 0
            if known is None and not self._has_room(now):
                return 0
            self._reports[key] = _Report(now)
            return 1 if known is None else 1 + known.held

    def _has_room(self, now: float) -> bool:
        """Return whether another key fits. Keys whose period has ended make room for it."""
        if len(self._reports) >= self._most:
            self._reports = {key: report for key, report in self._reports.items() if now - report.made < self._seconds}
        return len(self._reports) < self._most

    def full_for(self, key: Key) -> bool:
        """Return whether `key` is new, and as many others as possible are remembered."""
        with self._lock:
            return key not in self._reports and len(self._reports) >= self._most

    def flush(self) -> dict[Key, int]:
        """Forget all keys, and return how often each was held back since its last report."""
        with self._lock:
            held = {key: report.held for key, report in self._reports.items() if report.held}
            self._reports.clear()
            return held


class Troubles:
    """Count errors, and log each kind at once, then at most once a minute.

    Args:
        log: called with the sentences.
        clock: returns rising seconds.
    """

    def __init__(
        self, log: Callable[[str], None] = lambda sentence: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.log = cleaned(log)
        self.counts: Counter[str] = Counter()
        self._throttle = Throttle[str](limits.TROUBLE_REPEAT_SECONDS, limits.TROUBLE_KINDS + 1, clock)
        self._lock = threading.Lock()

    def note(self, kind: str, sentence: object = "") -> None:
        """Count one error. Never raises.

        Args:
            kind: a short fixed text, such as ``OSC packet``. Text from the network belongs in the sentence.
            sentence: what happened this time.
        """
        with self._lock:
            if kind not in self.counts and len(self.counts) >= limits.TROUBLE_KINDS:
                kind = "other"
            self.counts[kind] += 1
        count = self._throttle.take(kind)
        if count:
            times = f" ({count} times)" if count > 1 else ""
            self.log(f"{kind}{times}: {sentence}")
