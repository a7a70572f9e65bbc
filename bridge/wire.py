"""Send and receive messages of the streaming protocol. A deadline is for a whole message, not for one read."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import time
from collections.abc import Collection

from bridge import limits
from bridge.errors import ProtocolError
from bridge.protocol import HEADER, Kind, Refusal, pack_reason, unpack_header

_ANY = frozenset(Kind)


class Inbox:
    """Receive messages from a socket.

    Args:
        connection: the socket.
        greedy: read all bytes that have arrived, also of later messages. This saves system calls if nothing else reads
            from the socket.
    """

    def __init__(self, connection: socket.socket, greedy: bool = True) -> None:
        self._connection = connection
        self._greedy = greedy
        self._data = bytearray()

    def receive(
        self, *, deadline: float | None = None, idle: float | None = None, allowed: Collection[Kind] = _ANY
    ) -> tuple[Kind, int, memoryview]:
        """Receive the next message.

        Without `deadline` and `idle`, the socket's own timeout applies to each read.

        Args:
            deadline: time of `time.monotonic` by which the whole message must have arrived.
            idle: seconds to wait for the first byte. The rest must follow within `limits.STREAM_MESSAGE_SECONDS`.
            allowed: kinds that are expected now. Others are refused before their payload is read.

        Returns:
            Kind, sequence number and payload.

        Raises:
            ProtocolError: the bytes are not a message, or its kind is not allowed now.
            EOFError: the other side closed the connection.
            OSError: the connection is broken, or the other side took too long (TimeoutError).
        """
        if idle is not None:
            if not self._data:
                self._await(time.monotonic() + idle)
            deadline = time.monotonic() + limits.STREAM_MESSAGE_SECONDS
        kind, length, sequence = unpack_header(bytes(self._take(HEADER.size, deadline)))
        if kind not in allowed:
            expected = " or ".join(sorted(known.name for known in allowed))
            raise ProtocolError(f"expected {expected} first, found {kind.name}", Refusal.MALFORMED)
        return kind, sequence, memoryview(self._take(length, deadline))

    def _await(self, deadline: float) -> None:
        """Wait for the first byte of a message.

        Each step takes at most `limits.STREAM_SEND_SECONDS`, so the socket keeps its timeout.
        """
        while not self._data:
            _let_wait(self._connection, min(remaining(deadline), limits.STREAM_SEND_SECONDS))
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
        most = limits.STREAM_READ_BYTES
        self._data += _some(self._connection, most if self._greedy else min(missing, most))


def receive(connection: socket.socket) -> tuple[Kind, int, memoryview]:
    """Receive the next message as `Inbox.receive` does, and leave later bytes in the socket."""
    return Inbox(connection, greedy=False).receive()


def _some(connection: socket.socket, most: int) -> bytes:
    found = connection.recv(most)
    if not found:
        raise EOFError("the other side closed the connection")
    return found


def _let_wait(connection: socket.socket, seconds: float) -> None:
    """Set the timeout of a socket. A small difference is ignored, to save a system call."""
    before = connection.gettimeout()
    if before is None or abs(before - seconds) > limits.STREAM_TIMEOUT_SLACK_SECONDS:
        connection.settimeout(max(seconds, limits.STREAM_TIMEOUT_SLACK_SECONDS))


def remaining(deadline: float) -> float:
    """Return the seconds until a time of `time.monotonic`.

    Raises:
        TimeoutError: the time has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long to answer")
    return left


def send(connection: socket.socket, message: bytes, seconds: float | None = None) -> None:
    """Send a whole message.

    Args:
        connection: the socket.
        message: the bytes.
        seconds: time for the whole message; None for `limits.STREAM_SEND_SECONDS`.

    Raises:
        OSError: the connection is broken, or the other side does not read (TimeoutError).
    """
    _let_wait(connection, limits.STREAM_SEND_SECONDS if seconds is None else seconds)
    connection.sendall(message)


def refuse(connection: socket.socket, code: str, reason: str) -> None:
    """Send a REFUSE and hang up so that it arrives. Takes at most `limits.STREAM_REFUSE_SECONDS`, and raises nothing.

    A socket that is closed with unread bytes resets the connection, and the other side may lose the REFUSE. So this
    reads until the other side closes the connection.

    Args:
        connection: the socket.
        code: a code of `Refusal`.
        reason: a sentence for people.
    """
    deadline = time.monotonic() + limits.STREAM_REFUSE_SECONDS
    with contextlib.suppress(OSError, EOFError):
        send(connection, pack_reason(Kind.REFUSE, reason, code=code), limits.STREAM_REFUSE_SECONDS)
        connection.shutdown(socket.SHUT_WR)
        while True:
            connection.settimeout(remaining(deadline))
            _some(connection, limits.STREAM_READ_BYTES)


class Presence:
    """Check without waiting whether the other side of a connection has left.

    A side has left if it closed the connection or only its sending direction. A side that vanished is not noticed here.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._asked = -math.inf
        self._left = False
        self._poll = None
        if hasattr(select, "POLLRDHUP"):  # Linux reports it at once, even while messages are unread
            self._poll = select.poll()
            self._poll.register(connection, select.POLLRDHUP)

    def left(self) -> bool:
        """Return whether the other side has left. The system is asked at most every `limits.STREAM_PRESENCE_SECONDS`.

        A system call lets other threads run, and a block has no time for that.
        """
        now = time.monotonic()
        if not self._left and now - self._asked >= limits.STREAM_PRESENCE_SECONDS:
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
