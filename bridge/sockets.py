"""Open sockets for servers, accept connections in spite of errors, and send within a deadline. For IPv4 and IPv6."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from bridge import limits
from bridge.security import family_of
from bridge.throttle import Troubles
from neural_fx.errors import reason

_CROWDED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_FIRST_PAUSE = 0.02


def listen(host: str, port: int, backlog: int = limits.SOCKET_BACKLOG) -> socket.socket:
    """Open a TCP socket that listens.

    Args:
        host: name or address, IPv4 or IPv6. ``::`` listens on both.
        port: port to bind; 0 for a free one.
        backlog: largest number of connections that wait to be accepted.

    Raises:
        OSError: the name is unknown, or the port cannot be bound.
    """
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family_of(host), backlog=backlog, dualstack_ipv6=both)


def bind_datagrams(host: str, port: int) -> socket.socket:
    """Open a UDP socket that never blocks.

    Args:
        host: name or address, IPv4 or IPv6. ``::`` receives from both.
        port: port to bind; 0 for a free one.

    Raises:
        OSError: the name is unknown, or the port cannot be bound.
    """
    family = family_of(host)
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            both = host == "::" and socket.has_dualstack_ipv6()
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, limits.SOCKET_DATAGRAM_BYTES)
        made.bind((host, port))
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _nothing() -> None:
    """Do nothing."""


def accept_all(
    listener: socket.socket,
    closing: threading.Event,
    serve: Callable[[socket.socket, Any], None],
    troubles: Troubles,
    crowded: Callable[[], None] = _nothing,
) -> None:
    """Accept connections until the server closes. An error of one connection does not affect others.

    Args:
        listener: socket from `listen`.
        closing: set when the server closes.
        serve: called with a connection and its address. It returns at once. If it raises, the connection is closed.
        troubles: counts errors.
        crowded: called when the system has no room for another connection. It may close one.
    """
    try:
        listener.settimeout(limits.SOCKET_TICK_SECONDS)
    except OSError:  # the server was closed before this thread began
        return
    pause = 0.0
    while not closing.wait(pause):
        try:
            connection, address = listener.accept()
        except TimeoutError:
            continue
        except Exception as error:  # the next connection must be accepted, whatever the error
            if closing.is_set() or listener.fileno() < 0:
                return
            hint = ""
            if getattr(error, "errno", 0) in _CROWDED:
                hint = "; raise the limit of open files (ulimit -n)"
                crowded()
            troubles.note("connection not accepted", f"{reason(error)}{hint}")
            # A client that gave up costs no time. Other errors are likely to come again.
            gave_up = isinstance(error, ConnectionAbortedError)
            pause = 0.0 if gave_up else min(max(2 * pause, _FIRST_PAUSE), limits.SOCKET_LONGEST_PAUSE_SECONDS)
            continue
        pause = 0.0
        try:
            connection.settimeout(limits.SOCKET_TICK_SECONDS)
            serve(connection, address)
        except Exception as error:  # for example, the system allows no more threads
            troubles.note("connection not served", reason(error))
            connection.close()


def send_within(connection: socket.socket, data: bytes, seconds: float) -> None:
    """Send all of the data within a total time.

    Args:
        connection: a socket that has a timeout or does not block.
        data: the bytes.
        seconds: total time.

    Raises:
        TimeoutError: the peer does not read.
        OSError: the connection is broken.
    """
    deadline = time.monotonic() + seconds
    rest = memoryview(data)
    while rest:
        with contextlib.suppress(TimeoutError):
            rest = rest[connection.send(rest) :]
        if rest and time.monotonic() > deadline:
            raise TimeoutError(f"the peer took no data for {seconds:g} s")


def hang_up(connection: socket.socket) -> None:
    """Shut a connection down in both directions. Threads that wait for it wake up."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
