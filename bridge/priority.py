"""Priority for the threads that audio waits for."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

NICE = -11
"""What RtKit gives to those who ask: before everything that people run, behind the system's real-time threads."""


def hurry() -> None:
    """Let the scheduler prefer the calling thread, where the system allows it (root, or the limit ``nice``).

    Real-time scheduling is not asked for: a thread of Python's that never rests would stop the machine. The native loop
    asks for it, because it rests between blocks.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
