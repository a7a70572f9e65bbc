"""Give memory back to the system that clients which have left no longer use (glibc; other systems do it by themselves).

glibc keeps freed memory in up to eight arenas for each core, and seldom returns any of it. A worker that has served
many clients would hold the largest amount that it ever used, in each of them.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading

MOST_ARENAS = 2
PAUSE_SECONDS = 20.0
"""Least time between two trims. One takes about a millisecond, in which a thread that allocates may wait."""
GROWTH_BYTES = 2**20
"""Growth since the last trim that is worth another."""
_M_ARENA_MAX = -8  # malloc.h


def _library() -> ctypes.CDLL | None:
    """Return the C library if it is glibc."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def limit_arenas() -> None:
    """Let all threads share a few arenas. Call this before the threads start."""
    library = _library()
    if library is not None:
        library.mallopt(_M_ARENA_MAX, MOST_ARENAS)


def trim() -> bool:
    """Return freed memory to the system; return whether there was any."""
    library = _library()
    return library is not None and bool(library.malloc_trim(0))


def resident() -> int:
    """Return the bytes of memory that this process has from the system (Linux)."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Trimmer:
    """Trims on a thread of its own whenever the process has grown.

    Args:
        pause: seconds from one look to the next.
    """

    def __init__(self, pause: float = PAUSE_SECONDS) -> None:
        self.pause = pause
        self.trims = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        if _library() is not None:
            self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(1)

    def _run(self) -> None:
        before = 0
        while not self._closing.wait(self.pause):
            try:
                if resident() > before + GROWTH_BYTES:
                    trim()
                    self.trims += 1
                    before = resident()
            except OSError:  # no descriptor is free just now
                continue
