"""Sockets of the servers: bound in either address family, accepted whatever happens, sent to within a deadline."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from bridge.security import Troubles, family_of
from neural_fx.errors import reason

TICK_SECONDS = 0.5
"""How often a thread that waits for a socket looks at its deadlines."""
BACK_OFF_SECONDS = 0.1
"""Pause after a failed accept, for example because the process has no file descriptor left."""


def listen(host: str, port: int, backlog: int = 64) -> socket.socket:
    """Return a TCP socket that listens on a host, IPv4 or IPv6; ``::`` listens on both.

    Raises:
        OSError: the name is unknown, or the port cannot be bound.
    """
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family_of(host), backlog=backlog, dualstack_ipv6=both)


def bind_datagrams(host: str, port: int) -> socket.socket:
    """Return a UDP socket that never blocks, bound to a host, IPv4 or IPv6; ``::`` receives from both.

    Raises:
        OSError: the name is unknown, or the port cannot be bound.
    """
    family = family_of(host)
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            both = host == "::" and socket.has_dualstack_ipv6()
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        made.bind((host, port))
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def accept_all(
    listener: socket.socket,
    closing: threading.Event,
    serve: Callable[[socket.socket, Any], None],
    troubles: Troubles,
) -> None:
    """Accept connections until the server closes, whatever goes wrong with one of them.

    Args:
        listener: from `listen`.
        closing: set when the server closes.
        serve: starts to serve a connection from an address, and returns at once.
        troubles: counts what goes wrong.
    """
    listener.settimeout(TICK_SECONDS)
    while not closing.is_set():
        try:
            connection, address = listener.accept()
        except TimeoutError:
            continue
        except OSError as error:
            if closing.is_set() or listener.fileno() < 0:
                return
            troubles.note("connection not accepted", reason(error))
            closing.wait(BACK_OFF_SECONDS)
            continue
        try:
            connection.settimeout(TICK_SECONDS)
            serve(connection, address)
        except Exception as error:  # for example, the system allows no more threads
            troubles.note("connection not served", reason(error))
            connection.close()


def send_within(connection: socket.socket, data: bytes, seconds: float) -> None:
    """Send all of the data within a total time. The socket has a timeout, or does not block.

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
    """End a connection in both directions, which wakes the threads that wait for it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
