"""Raise the priority of threads that audio waits for."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

NICE = -11
"""Nice level, the same that RtKit grants. It is above all normal programs, and below realtime threads."""


def hurry() -> None:
    """Raise the priority of the calling thread, if the system allows it (root, or the limit ``nice``).

    This does not use realtime scheduling, because a Python thread that never waits would stop the machine. The native
    loop uses it, because it waits between blocks.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
