"""Turn termination signals into exceptions, so that cleanup code runs and no partial file stays behind."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM or SIGHUP.

    Derives from `KeyboardInterrupt`, so whatever handles Ctrl-C handles these as well.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def raise_on_termination() -> None:
    """Make SIGTERM and SIGHUP raise `Terminated` in the main thread.

    A signal that the parent process ignores stays ignored, as `nohup` expects. Has no effect outside the main
    thread, where Python does not allow signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    # A closing terminal sends SIGHUP, and its manager SIGTERM right after: the second must not interrupt the cleanup.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise Terminated(number)
