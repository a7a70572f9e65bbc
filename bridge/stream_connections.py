"""The open connections of the streaming server: how many there may be, and their threads."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter

from bridge import limits
from bridge.errors import ProtocolError
from bridge.protocol import Refusal


class Connections:
    """Clients, and connections that have sent no HELLO yet. Thread-safe.

    A connection without HELLO that has to make room for others is evicted. Its thread reads the end of the stream, and
    refuses it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._greeting: dict[socket.socket, str] = {}  # peers of those without HELLO, the oldest first
        self._evicted: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._open)

    def running(self) -> list[threading.Thread]:
        """Return the threads of the connections."""
        with self._lock:
            return list(self._threads)

    def start(self, connection: socket.socket, peer: str, thread: threading.Thread) -> None:
        """Add a connection without HELLO, and start its thread. Another one may be evicted for it.

        Args:
            connection: the connection.
            peer: address of the client.
            thread: serves the connection, and calls `forget` at its end.

        Raises:
            RuntimeError: too many connections are open, or the system allows no more threads.
        """
        with self._lock:
            if len(self._open) >= limits.STREAM_CLIENTS + 2 * limits.STREAM_GREETINGS:
                raise RuntimeError("too many connections are open")
            self._open.add(connection)
            self._greeting[connection] = peer
            crowding = self._crowding(limits.STREAM_GREETINGS)
            self._threads.add(thread)
        wake(crowding)
        try:
            thread.start()
        except BaseException:
            with self._lock:
                self._threads.discard(thread)
            raise

    def admit(self, connection: socket.socket) -> None:
        """Count a connection as a client.

        Raises:
            ProtocolError: there are too many clients.
        """
        with self._lock:
            clients = len(self._open) - len(self._greeting) - len(self._evicted)
            admitted = connection in self._greeting and clients < limits.STREAM_CLIENTS
            if admitted:
                del self._greeting[connection]
        if not admitted:
            self.check(connection)
            raise ProtocolError(f"{limits.STREAM_CLIENTS} clients are connected already", Refusal.BUSY)

    def check(self, connection: socket.socket) -> None:
        """Check that a connection was not evicted.

        Raises:
            ProtocolError: it was.
        """
        if connection in self._evicted:
            raise ProtocolError("too many connections wait; connect again, and send HELLO at once", Refusal.BUSY)

    def make_room(self) -> None:
        """Evict a connection without HELLO, because the system has no room for another one."""
        with self._lock:
            crowding = self._crowding(most=0)
        wake(crowding)

    def forget(self, connection: socket.socket) -> None:
        """Close and remove a connection, and remove the current thread."""
        with self._lock:
            self._open.discard(connection)
            self._greeting.pop(connection, None)
            self._evicted.discard(connection)
            self._threads.discard(threading.current_thread())
        with contextlib.suppress(OSError):
            connection.close()

    def shut_down(self, direction: int) -> None:
        """Shut all connections down in a direction, such as `socket.SHUT_RD`. Their threads wake up."""
        with self._lock:
            open_now = list(self._open)
        for connection in open_now:
            with contextlib.suppress(OSError):
                connection.shutdown(direction)

    def _crowding(self, most: int) -> socket.socket | None:
        """Choose a connection to evict if more than `most` have sent no HELLO. The lock is held.

        It is the oldest one of the peer with the most of them.
        """
        if len(self._greeting) <= most:
            return None
        (worst, _), *_ = Counter(self._greeting.values()).most_common(1)
        oldest = next(connection for connection, peer in self._greeting.items() if peer == worst)
        del self._greeting[oldest]
        self._evicted.add(oldest)
        return oldest


def wake(connection: socket.socket | None) -> None:
    """Wake the thread of a connection. It then reads the end of the stream."""
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RD)
