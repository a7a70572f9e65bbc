"""Stop long work whose result nobody waits for any more, at points where stopping is safe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Interrupted(BaseException):
    """Nobody waits for the result any more.

    Not an `Exception`: code that survives any failure of a plugin must not survive this.
    """


def _wanted() -> bool:
    return False


_abandoned: ContextVar[Callable[[], bool]] = ContextVar("abandoned", default=_wanted)


@contextmanager
def interruptible(abandoned: Callable[[], bool]) -> Iterator[None]:
    """Let `checkpoint` raise `Interrupted` in the body once `abandoned` returns true; for this thread only.

    Args:
        abandoned: whether nobody waits for the result any more; called often, so it must be quick.
    """
    token = _abandoned.set(abandoned)
    try:
        yield
    finally:
        _abandoned.reset(token)


def checkpoint() -> None:
    """Raise `Interrupted` if nobody waits for the result any more; between steps of long work."""
    if _abandoned.get()():
        raise Interrupted
