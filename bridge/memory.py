"""Return freed memory to the system after clients have left. Only glibc needs this.

glibc keeps freed memory in up to eight arenas per core, and seldom returns any of it. In each arena, a worker that has
served many clients would keep the largest amount that it ever used.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading

from bridge import limits

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
        library.mallopt(_M_ARENA_MAX, limits.MEMORY_ARENAS)


def trim() -> bool:
    """Return freed memory to the system. Return whether there was any."""
    library = _library()
    return library is not None and bool(library.malloc_trim(0))


def resident() -> int:
    """Return the resident memory of this process in bytes (Linux)."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Trimmer:
    """Trim on a thread of its own when the process has grown.

    Args:
        pause: seconds between checks.
    """

    def __init__(self, pause: float = limits.MEMORY_TRIM_SECONDS) -> None:
        self.pause = pause
        self.trims = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        if _library() is not None:
            self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(1)

    def _run(self) -> None:
        before = 0
        while not self._closing.wait(self.pause):
            try:
                if resident() > before + limits.MEMORY_GROWTH_BYTES:
                    trim()
                    self.trims += 1
                    before = resident()
            except OSError:  # no descriptor is free just now
                continue
