"""Serve HTTP and websockets for OSCQuery on one port. Access is checked before anything else.

The protocol is that of the package `websockets`, without its threads. A request has a limited size and a total time.
The number of connections is limited. A peer that does not read does not make others wait.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from websockets.frames import CloseCode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from bridge import limits
from bridge.osc.http import RefusedError, asks_for_websocket, linger, read_request, response_bytes
from bridge.osc.websocket import WebSocket
from bridge.security import (
    ConnectionLimit,
    GuessLimiter,
    WebRequest,
    as_address,
    in_url,
    plain_address,
    query_fields,
    web_refusal,
)
from bridge.sockets import accept_all, hang_up, listen, send_within
from bridge.throttle import Troubles
from neural_fx.errors import reason

_LOGGER = logging.getLogger(__name__)
_LOGGER.addHandler(logging.NullHandler())  # otherwise Python prints text from peers to the terminal

Answer = tuple[HTTPStatus, object]
"""A status and a value to send as JSON; None for an empty body."""


@dataclass
class WebServer:
    """Listen for HTTP requests and websockets.

    Args:
        host: address to bind.
        port: port to bind; 0 for a free one.
        token: returns the token that browsers and other machines must give.
        answer: answers a request for a path and an attribute, such as ``/lead`` and ``VALUE``.
        session: serves a websocket, and returns when it ends.
        guesses: slows down peers that guess the token.
        troubles: counts errors.
        websockets: the open ones.

    Raises:
        OSError: the port cannot be bound.
    """

    host: str
    port: int
    token: Callable[[], str]
    answer: Callable[[str, str], Answer]
    session: Callable[[WebSocket], None]
    guesses: GuessLimiter
    troubles: Troubles
    websockets: set[WebSocket] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.listener = listen(self.host, self.port)
        self.port = self.listener.getsockname()[1]
        self.names = _names(self.host)
        self.closing = threading.Event()
        self.requests = ConnectionLimit(limits.HTTP_REQUESTS)
        self.refused = ConnectionLimit(limits.HTTP_REFUSALS)
        self.open = ConnectionLimit(limits.WEBSOCKETS)
        self.connections: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._accept, name="oscquery", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Stop listening, close the websockets properly, and hang up, all within a second."""
        self.closing.set()
        hang_up(self.listener)
        with self.lock:
            websockets, connections = list(self.websockets), list(self.connections)
        for websocket in websockets:
            websocket.close(CloseCode.GOING_AWAY)
        deadline = time.monotonic() + 0.5
        for websocket in websockets:
            websocket.outbox.flush(max(0.0, deadline - time.monotonic()))
        for connection in connections:
            hang_up(connection)
        self.thread.join(0.5)
        self.listener.close()

    def _accept(self) -> None:
        accept_all(self.listener, self.closing, self._welcome, self.troubles)

    def _welcome(self, connection: socket.socket, address: Any) -> None:
        machine = plain_address(address[0])
        limit = next((limit for limit in (self.requests, self.refused) if limit.enter(machine)), None)
        if limit is None:
            self.troubles.note("web connection refused", f"from {machine}: too many are open")
            connection.close()
            return
        arguments = (connection, machine, limit)
        limit.start(machine, threading.Thread(target=self._serve, args=arguments, name="oscquery-web", daemon=True))

    def _serve(self, connection: socket.socket, machine: str, limit: ConnectionLimit) -> None:
        with self.lock:
            self.connections.add(connection)
        websocket = None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            websocket = self._answer(connection, machine, limit is self.refused)
        except OSError:
            pass  # it went away
        except Exception as error:
            self.troubles.note("web request failed", f"from {machine}: {reason(error)}")
        finally:
            limit.leave(machine)
        try:
            if websocket is not None:
                self._keep(websocket)
        finally:
            with self.lock:
                self.connections.discard(connection)
            connection.close()

    # -- requests --------------------------------------------------------------------------------------------------

    def _answer(self, connection: socket.socket, machine: str, crowded: bool) -> WebSocket | None:
        """Answer the request of a connection.

        Args:
            connection: the connection.
            machine: numeric address of the peer.
            crowded: whether to refuse it because too many connections are open.

        Returns:
            The websocket, if the request opened one.
        """
        protocol = ServerProtocol(max_size=limits.OSC_PACKET_BYTES, logger=_LOGGER)
        try:
            request = read_request(connection, protocol)
            if crowded:
                raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections are open; try again later")
            path, attribute = self._checked(request, connection, machine)
            if asks_for_websocket(request):
                return self._upgraded(request, connection, protocol, machine)
            status, value = self._asked(path, attribute)
        except RefusedError as refusal:
            self.troubles.note("web request refused", f"from {machine}: {refusal.sentence}")
            status, value = refusal.status, {"error": refusal.sentence}
        send_within(connection, response_bytes(status, value), limits.HTTP_ANSWER_SECONDS)
        linger(connection)
        return None

    def _checked(self, request: Request, connection: socket.socket, machine: str) -> tuple[str, str]:
        """Return the path and the attribute of a request.

        Raises:
            RefusedError: the request is not allowed.
        """
        method = getattr(request, "method", "GET")
        if method != "GET":
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered here")
        target, _, query = request.path.partition("?")
        if not target.startswith("/"):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the target must be a path, such as /lead/mix")
        local = connection.getsockname()
        address = plain_address(local[0])
        asked = WebRequest(query, request.headers, machine, (address, self.port), self.names)
        refusal = web_refusal(asked, self.token(), self.guesses)
        if refusal is not None:
            raise RefusedError(*refusal)
        attribute = next((name for name, _ in query_fields(query) if name != "token"), "")
        return unquote(target).rstrip("/") or "/", attribute.upper()

    def _asked(self, path: str, attribute: str) -> Answer:
        try:
            return self.answer(path, attribute)
        except Exception as error:
            self.troubles.note("OSCQuery", f"{path}: {reason(error)}")
            raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "this node cannot be read now") from None

    def _upgraded(
        self, request: Request, connection: socket.socket, protocol: ServerProtocol, machine: str
    ) -> WebSocket:
        """Open a websocket.

        Raises:
            RefusedError: the handshake is wrong, or too many websockets are open.
        """
        response = protocol.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            sentence = bytes(response.body or b"").decode("utf-8", "replace").strip()
            raise RefusedError(HTTPStatus(response.status_code), sentence)
        if not self.open.enter(machine):
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{limits.WEBSOCKETS} websockets are open; close one first"
            )
        try:
            protocol.send_response(response)
            send_within(connection, b"".join(protocol.data_to_send()), limits.HTTP_ANSWER_SECONDS)
            return WebSocket(connection, protocol, machine)
        except BaseException:
            self.open.leave(machine)
            raise

    def _keep(self, websocket: WebSocket) -> None:
        with self.lock:
            self.websockets.add(websocket)
        try:
            self.session(websocket)
            websocket.close(CloseCode.GOING_AWAY if self.closing.is_set() else CloseCode.NORMAL_CLOSURE)
            websocket.outbox.flush(limits.HTTP_LINGER_SECONDS)
            if websocket.outbox.problem:
                self.troubles.note("websocket closed", f"of {websocket.machine}: {websocket.outbox.problem}")
        except OSError:
            pass  # it went away
        except Exception as error:
            self.troubles.note("websocket failed", f"of {websocket.machine}: {reason(error)}")
        finally:
            with self.lock:
                self.websockets.discard(websocket)
            websocket.outbox.end()
            self.open.leave(websocket.machine)


def _names(host: str) -> set[str]:
    """Return the host names of a server that binds a host."""
    address = as_address(host)
    if host and address is None:
        return {host}
    if address is None or address.is_unspecified:
        name = socket.gethostname()
        return {name, f"{name}.local"}
    return set()


def web_url(host: str, port: int, token: str = "") -> str:
    """Return the URL to open in a browser.

    Args:
        host: address that the server binds.
        port: port of the server.
        token: token to put into the URL; empty for none.
    """
    if host in ("", "0.0.0.0", "::"):
        host = "::1" if host == "::" else "127.0.0.1"
    return f"http://{in_url(host)}:{port}/" + (f"?token={quote(token, safe='')}" if token else "")
