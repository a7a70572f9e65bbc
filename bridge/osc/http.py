"""HTTP requests and answers, as functions of a connection."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from http import HTTPStatus

from websockets.http11 import Request
from websockets.server import ServerProtocol

from bridge import limits

_ALWAYS = {
    "Content-Type": "application/json",
    "Connection": "close",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every answer. The URL can have the token, so it must not get into a cache or a Referer."""


class RefusedError(Exception):
    """A request that is answered with an error.

    Args:
        status: status of the answer.
        sentence: what is wrong and what to do.
    """

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        self.status, self.sentence = status, sentence
        super().__init__(sentence)


def read_request(connection: socket.socket, protocol: ServerProtocol) -> Request:
    """Read the request of a new connection.

    Raises:
        RefusedError: the request is too large, malformed, or not complete in time.
        OSError: the connection ended.
    """
    deadline, size = time.monotonic() + limits.HTTP_HEAD_SECONDS, 0
    while True:
        if time.monotonic() > deadline:
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, f"no complete request within {limits.HTTP_HEAD_SECONDS:g} s")
        try:
            data = connection.recv(limits.HTTP_HEAD_BYTES + 1 - size)
        except TimeoutError:
            continue
        size += len(data)
        if not data:
            raise ConnectionAbortedError
        if size > limits.HTTP_HEAD_BYTES:
            raise RefusedError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"a request of over {limits.HTTP_HEAD_BYTES} bytes, head included",
            )
        protocol.receive_data(data)
        events = protocol.events_received()
        if protocol.handshake_exc is not None or len(events) > 1:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "this is not an HTTP request without a body")
        if events and isinstance(events[0], Request):
            return events[0]


def asks_for_websocket(request: Request) -> bool:
    """Return whether a request begins the handshake of a websocket."""
    return any("websocket" in value.lower() for value in request.headers.get_all("Upgrade"))


def response_bytes(status: HTTPStatus, value: object) -> bytes:
    """Encode an answer.

    Args:
        status: its status.
        value: what to send as JSON; None for an empty body.
    """
    body = b"" if value is None else json.dumps(value).encode()
    fields = {**_ALWAYS, "Content-Length": str(len(body))}
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        fields["Allow"] = "GET"
    elif status is HTTPStatus.UNAUTHORIZED:
        fields["WWW-Authenticate"] = "Bearer"
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    return head.encode() + b"\r\n" + body


def linger(connection: socket.socket) -> None:
    """Close the sending side, and wait shortly for the peer to close. Unread bytes would reset the connection."""
    deadline = time.monotonic() + limits.HTTP_LINGER_SECONDS
    connection.shutdown(socket.SHUT_WR)
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            if not connection.recv(limits.OSC_PACKET_BYTES):
                return
