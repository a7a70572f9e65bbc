"""End the command on Ctrl-C, SIGTERM or SIGHUP, wherever it is, and leave no partial file.

Python runs a signal handler between any two instructions: while a module is being imported, inside a callback of a
native library, in a destructor. An exception that is raised there can be lost, can come out as another error, or can
abort the process. So the handler here raises nothing. It removes the files that are being written, says so, and ends
the process.

Work that has something to keep, such as a training, puts signals off with `postponed` and asks for them where it can
stop.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from neural_fx.files import remove_unfinished

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))  # Windows has no SIGHUP
_PATIENCE = 10
"""Seconds after which the system ends a process that cannot end itself."""


class Stopped(BaseException):
    """The command was asked to end by Ctrl-C, SIGTERM or SIGHUP, and has reached a point where it can.

    Not an `Exception`: nothing may take it for an error and go on.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status that shells expect."""
        return 128 + self.number

    def __str__(self) -> str:
        return "interrupted" if self.number == signal.SIGINT else f"stopped by {signal.Signals(self.number).name}"


class Postponed:
    """Signals that came while they were put off."""

    number: int | None = None
    """The first of them; None if there was none."""

    def arrived(self) -> bool:
        """Return whether the command was asked to end."""
        return self.number is not None

    def check(self) -> None:
        """Stop here, if the command was asked to end.

        Raises:
            Stopped: it was.
        """
        if self.number is not None:
            raise Stopped(self.number)


_postponed: Postponed | None = None


@contextmanager
def handled() -> Iterator[None]:
    """End the process on Ctrl-C, SIGTERM or SIGHUP while the block runs.

    A signal that the parent process ignores stays ignored, as `nohup` expects. Has no effect outside the main thread,
    where Python does not allow signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ignored = (signal.SIG_IGN, None)  # None: set by another language
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in before.items() if handler not in ignored}
    for number in before:
        signal.signal(number, _handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def postponed() -> Iterator[Postponed]:
    """Put signals off while the block runs; it asks for them where it can stop.

    A second Ctrl-C ends the process at once. A second SIGTERM or SIGHUP does not: a closing terminal sends SIGHUP, and
    its manager SIGTERM right after.
    """
    global _postponed
    outer = _postponed
    _postponed = mine = outer or Postponed()
    try:
        yield mine
    finally:
        _postponed = outer


def _handle(number: int, frame: FrameType | None) -> None:
    if _postponed is None or (_postponed.number is not None and number == signal.SIGINT):
        _end(Stopped(number))
    elif _postponed.number is None:
        _postponed.number = number


def _end(reason: Stopped) -> NoReturn:
    """Remove unfinished files and end the process; no code of Python's runs afterwards."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_PATIENCE)
    remove_unfinished()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # what was interrupted may be in the middle of a write
            stream.flush()
    with suppress(OSError):
        show_cursor = "\x1b[?25h\n" if os.isatty(2) else ""  # a progress bar hides it, and leaves it in its line
        os.write(2, f"{show_cursor}neural-fx: {reason}\n".encode())
    os._exit(reason.status)


@contextmanager
def released_on_error() -> Iterator[None]:
    """Let go of what the command held, if it ends in an error.

    The error lives until the process ends, and would hold the variables of every function that it came through.
    """
    try:
        yield
    except Exception as error:
        _let_go(error)
        raise


def _let_go(error: BaseException | None) -> None:
    """Clear the local variables of the frames that an exception and its causes came through."""
    for _ in range(10):
        if error is None:
            return
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
