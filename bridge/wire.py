"""Messages of the streaming protocol over a socket. Every deadline is for a whole message, not for a read."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import time
from collections.abc import Collection

from bridge.errors import ProtocolError
from bridge.protocol import HEADER, Kind, Refusal, pack_reason, unpack_header

MESSAGE_SECONDS = 10.0
"""Time for the rest of a message, once its first byte is there."""
SEND_SECONDS = 5.0
REFUSE_SECONDS = 1.0
LOOK_SECONDS = 0.005
SLACK_SECONDS = 0.02
CHUNK = 1 << 16
"""Bytes taken from a socket at once: memory grows with what arrives, not with what a header announces."""

_ANY = frozenset(Kind)


class Inbox:
    """Takes messages from a socket.

    Args:
        connection: the socket.
        greedy: whether to take all bytes that have arrived at once, also of later messages: saves system calls where
            nothing else reads from the socket.
    """

    def __init__(self, connection: socket.socket, greedy: bool = True) -> None:
        self._connection = connection
        self._greedy = greedy
        self._data = bytearray()

    def receive(
        self, *, deadline: float | None = None, idle: float | None = None, allowed: Collection[Kind] = _ANY
    ) -> tuple[Kind, int, memoryview]:
        """Return the next message: kind, sequence number, payload.

        Without `deadline` and `idle` the socket's own timeout holds for each read.

        Args:
            deadline: when the whole message must be there, on the clock `time.monotonic`.
            idle: seconds to wait for the first byte; the rest has to follow within `MESSAGE_SECONDS`.
            allowed: kinds that may come now; others are refused before their payload is read.

        Raises:
            ProtocolError: not a message, or not one that is allowed now.
            EOFError: the other side closed the connection.
            OSError: the connection is broken, or the other side took too long (TimeoutError).
        """
        if idle is not None:
            if not self._data:
                self._await(time.monotonic() + idle)
            deadline = time.monotonic() + MESSAGE_SECONDS
        kind, length, sequence = unpack_header(bytes(self._take(HEADER.size, deadline)))
        if kind not in allowed:
            expected = " or ".join(sorted(known.name for known in allowed))
            raise ProtocolError(f"expected {expected} first, found {kind.name}", Refusal.MALFORMED)
        return kind, sequence, memoryview(self._take(length, deadline))

    def _await(self, deadline: float) -> None:
        """Wait for the first byte of a message, in steps as long as a send may take: the socket keeps its timeout."""
        while not self._data:
            _let_wait(self._connection, min(remaining(deadline), SEND_SECONDS))
            with contextlib.suppress(TimeoutError):
                self._fill(HEADER.size)

    def _take(self, count: int, deadline: float | None) -> bytearray:
        while len(self._data) < count:
            if deadline is not None:
                _let_wait(self._connection, remaining(deadline))
            self._fill(count - len(self._data))
        taken = self._data[:count]
        del self._data[:count]
        return taken

    def _fill(self, missing: int) -> None:
        self._data += _some(self._connection, CHUNK if self._greedy else min(missing, CHUNK))


def receive(connection: socket.socket) -> tuple[Kind, int, memoryview]:
    """Return the next message as `Inbox.receive` does, and leave what follows in the socket."""
    return Inbox(connection, greedy=False).receive()


def _some(connection: socket.socket, most: int) -> bytes:
    found = connection.recv(most)
    if not found:
        raise EOFError("the other side closed the connection")
    return found


def _let_wait(connection: socket.socket, seconds: float) -> None:
    """Let each operation on a socket take so long, give or take `SLACK_SECONDS`: setting it is a system call."""
    before = connection.gettimeout()
    if before is None or abs(before - seconds) > SLACK_SECONDS:
        connection.settimeout(max(seconds, SLACK_SECONDS))


def remaining(deadline: float) -> float:
    """Return the seconds until a time on the clock `time.monotonic`.

    Raises:
        TimeoutError: it has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long to answer")
    return left


def send(connection: socket.socket, message: bytes, seconds: float | None = None) -> None:
    """Send a whole message.

    Args:
        connection: the socket.
        message: what to send.
        seconds: for all of it; None stands for `SEND_SECONDS`.

    Raises:
        OSError: the connection is broken, or the other side does not read (TimeoutError).
    """
    _let_wait(connection, SEND_SECONDS if seconds is None else seconds)
    connection.sendall(message)


def refuse(connection: socket.socket, code: str, reason: str) -> None:
    """Send a REFUSE and hang up in a way that lets it arrive. Takes `REFUSE_SECONDS` at most, and raises nothing.

    A socket that is closed with unread bytes resets the connection, and the other side may lose what it was sent.
    """
    deadline = time.monotonic() + REFUSE_SECONDS
    with contextlib.suppress(OSError, EOFError):
        send(connection, pack_reason(Kind.REFUSE, reason, code=code), REFUSE_SECONDS)
        connection.shutdown(socket.SHUT_WR)
        while True:
            connection.settimeout(remaining(deadline))
            _some(connection, CHUNK)


class Presence:
    """Tells without waiting whether the other side of a connection has left.

    A side that closes the connection, or only its sending direction, has left. One that vanished has not: only
    silence shows that.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._asked = -math.inf
        self._left = False
        self._poll = None
        if hasattr(select, "POLLRDHUP"):  # Linux: seen at once, also behind messages that are not read yet
            self._poll = select.poll()
            self._poll.register(connection, select.POLLRDHUP)

    def left(self) -> bool:
        """Return whether the other side has left. Quick: the system is asked every `LOOK_SECONDS` at most.

        Asking lets other threads run, which costs time that a block does not have.
        """
        now = time.monotonic()
        if not self._left and now - self._asked >= LOOK_SECONDS:
            self._asked = now
            self._left = self._look()
        return self._left

    def _look(self) -> bool:
        try:
            if self._poll is not None:
                return bool(self._poll.poll(0))
            readable, _, _ = select.select([self._connection], [], [], 0)
            return bool(readable) and not self._connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):  # reset, or closed by us
            return True
