"""Messages of the streaming protocol over a socket. Every deadline is for a whole message, not for a read."""

from __future__ import annotations

import contextlib
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
CHUNK = 1 << 16
"""Bytes taken from a socket at once: memory grows with what arrives, not with what a header announces."""

_ANY = frozenset(Kind)


def receive(
    connection: socket.socket,
    *,
    deadline: float | None = None,
    idle: float | None = None,
    allowed: Collection[Kind] = _ANY,
) -> tuple[Kind, int, memoryview]:
    """Return the next message: kind, sequence number, payload.

    Without `deadline` and `idle` the socket's own timeout holds for each read.

    Args:
        connection: the socket.
        deadline: when the whole message must be there, on the clock `time.monotonic`.
        idle: seconds to wait for the first byte; the rest has to follow within `MESSAGE_SECONDS`.
        allowed: kinds that may come now; others are refused before their payload is read.

    Raises:
        ProtocolError: not a message, or not one that is allowed now.
        EOFError: the other side closed the connection.
        OSError: the connection is broken, or the other side took too long (TimeoutError).
    """
    if idle is not None:
        connection.settimeout(idle)
        start = _some(connection, HEADER.size)
        deadline = time.monotonic() + MESSAGE_SECONDS
    else:
        start = b""
    header = start + _exactly(connection, HEADER.size - len(start), deadline)
    kind, length, sequence = unpack_header(bytes(header))
    if kind not in allowed:
        expected = " or ".join(sorted(known.name for known in allowed))
        raise ProtocolError(f"expected {expected} first, found {kind.name}", Refusal.MALFORMED)
    return kind, sequence, memoryview(_exactly(connection, length, deadline))


def _some(connection: socket.socket, most: int) -> bytes:
    found = connection.recv(most)
    if not found:
        raise EOFError("the other side closed the connection")
    return found


def _exactly(connection: socket.socket, count: int, deadline: float | None) -> bytearray:
    data = bytearray()
    while len(data) < count:
        if deadline is not None:
            connection.settimeout(remaining(deadline))
        data += _some(connection, min(count - len(data), CHUNK))
    return data


def remaining(deadline: float) -> float:
    """Return the seconds until a time on the clock `time.monotonic`.

    Raises:
        TimeoutError: it has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long to answer")
    return left


def send(connection: socket.socket, message: bytes, seconds: float = SEND_SECONDS) -> None:
    """Send a whole message within so many seconds in total.

    Raises:
        OSError: the connection is broken, or the other side does not read (TimeoutError).
    """
    before = connection.gettimeout()
    connection.settimeout(seconds)
    connection.sendall(message)
    connection.settimeout(before)


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
        self._poll = None
        if hasattr(select, "POLLRDHUP"):  # Linux: seen at once, also behind messages that are not read yet
            self._poll = select.poll()
            self._poll.register(connection, select.POLLRDHUP)

    def left(self) -> bool:
        """Return whether the other side has left."""
        try:
            if self._poll is not None:
                return bool(self._poll.poll(0))
            readable, _, _ = select.select([self._connection], [], [], 0)
            return bool(readable) and not self._connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):  # reset, or closed by us
            return True
