"""Turn termination signals into exceptions, so that cleanup code runs and no partial file stays behind."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def uncaught_by_typer() -> Iterator[None]:
    """Let Ctrl-C and `Terminated` out of a block in which typer turns them into an exit status of its own.

    Typer ends with status 130, older versions with 1, and does not know which signal it was. What the command held is
    let go, because the exception, which lives until the process ends, would hold it.
    """
    try:
        yield
    except SystemExit as exit:
        interruption = _cause(exit)
        if exit.code in (1, 130) and interruption is not None:
            _let_go(exit)
            raise interruption from None
        raise
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


def _cause(error: BaseException) -> KeyboardInterrupt | None:
    """Return the interruption that an exception was raised in answer to."""
    known: BaseException | None = error
    for _ in range(10):
        if known is None or isinstance(known, KeyboardInterrupt):
            return known
        known = known.__cause__ or known.__context__
    return None


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    # A closing terminal sends SIGHUP, and its manager SIGTERM right after: the second must not interrupt the cleanup.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise Terminated(number)
