"""OSCQuery: the tree of addresses over HTTP, changes over a websocket, announced by zeroconf.

As the proposal at https://github.com/Vidvox/OSCQueryProposal has it: every node as JSON with FULL_PATH, CONTENTS,
TYPE, VALUE, RANGE, ACCESS, DESCRIPTION and UNIT, single attributes by ``?VALUE``, and ``?HOST_INFO``; LISTEN and IGNORE
over the websocket, values as OSC packets.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from bridge.errors import ProtocolError
from bridge.host import InstrumentHost
from bridge.osc.packets import MOST_BYTES, decode
from bridge.osc.server import OscServer, Sender
from bridge.osc.tree import wire
from neural_fx import __version__
from neural_fx.errors import reason
from neural_fx.parameters import Parameter
from neural_fx.values import suggestion

SERVICE = "_oscjson._tcp.local."
ATTRIBUTES = ("VALUE", "RANGE", "TYPE", "ACCESS", "DESCRIPTION", "UNIT", "FULL_PATH", "CONTENTS")
MOST_LISTENED = 4096


@dataclass
class QueryServer:
    """Answers OSCQuery for an `OscServer`.

    Args:
        osc: whose tree it is.
        port: 0 takes a free one.
        announce: tell the network by zeroconf.

    Raises:
        OSError: the port cannot be bound.
    """

    osc: OscServer
    port: int = 9002
    announce: bool = True

    def __post_init__(self) -> None:
        self.server: Server = serve(
            self._listen, self.osc.host, self.port, process_request=self._answer, max_size=MOST_BYTES, compression=None
        )
        self.port = self.server.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.server.serve_forever, name="oscquery", daemon=True)
        self.thread.start()
        self._zeroconf: Any = None
        if self.announce:
            threading.Thread(target=self._announce, name="oscquery-announce", daemon=True).start()

    def close(self) -> None:
        """Hang up and take the announcement back."""
        self.server.shutdown()
        self.thread.join(2)
        if self._zeroconf is not None:
            self._zeroconf.close()

    # -- HTTP ------------------------------------------------------------------------------------------------------

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        if "websocket" in request.headers.get("Upgrade", "").lower():
            return None
        split = urlsplit(request.path)
        path, query = unquote(split.path).rstrip("/") or "/", split.query.split("=")[0].upper()
        if query == "HOST_INFO":
            return _json(HTTPStatus.OK, self.host_info())
        node = self.node(path)
        if node is None:
            return _json(HTTPStatus.NOT_FOUND, {"error": f"nothing at {path}"})
        if not query:
            return _json(HTTPStatus.OK, node)
        if query not in ATTRIBUTES:
            return _json(
                HTTPStatus.BAD_REQUEST,
                {"error": f"unknown attribute {query}{suggestion(query, ATTRIBUTES)}; known: {', '.join(ATTRIBUTES)}"},
            )
        if query not in node:
            return Response(HTTPStatus.NO_CONTENT, "No Content", Headers(), b"")
        return _json(HTTPStatus.OK, {query: node[query]})

    def host_info(self) -> dict[str, Any]:
        """What this server is and can do."""
        return {
            "NAME": f"Neural FX {__version__}",
            "OSC_PORT": self.osc.port,
            "OSC_TRANSPORT": "UDP",
            "WS_PORT": self.port,
            "EXTENSIONS": {
                **dict.fromkeys(("ACCESS", "VALUE", "RANGE", "DESCRIPTION", "UNIT", "LISTEN"), True),
                **dict.fromkeys(("TAGS", "CLIPMODE", "CRITICAL", "PATH_CHANGED"), False),
            },
        }

    def node(self, path: str) -> dict[str, Any] | None:
        """The node at a path and all below it; None if there is none."""
        if path == "/":
            return _folder("/", {name: self._board(name) for name in self.osc.tree.boards}, "Neural FX")
        _, name, *rest = path.split("/")
        if name not in self.osc.tree.boards:
            return None
        node: dict[str, Any] | None = self._board(name)
        for part in rest:
            node = (node or {}).get("CONTENTS", {}).get(part)
        return node

    def _board(self, name: str) -> dict[str, Any]:
        host = self.osc.tree.boards[name]
        instrument = isinstance(host, InstrumentHost)
        contents = ({} if instrument else _files(name)) | (_plays(name) if host.takes_notes else {})
        for place, parameter in host.table().items():
            *slot, last = place.split("/")
            into = contents
            for part in slot:
                into = into.setdefault(part, _folder(f"/{name}/{part}", {}, "a slot"))["CONTENTS"]
            into[last] = _parameter(f"/{name}/{place}", host.value(place), parameter)
        return _folder(f"/{name}", contents, "an instrument" if instrument else "a board")

    # -- websocket -------------------------------------------------------------------------------------------------

    def _listen(self, connection: ServerConnection) -> None:
        sender = Sender(connection.send, self.osc.trusts(str(connection.remote_address[0])))
        listened: set[str] = set()
        self.osc.listeners[connection] = (sender, listened)
        try:
            for message in connection:
                if isinstance(message, bytes):
                    with contextlib.suppress(ProtocolError):
                        for packet in decode(message):
                            self.osc.handle(packet, sender)
                elif sender.trusted:
                    _command(message, listened)
        except ConnectionClosed:
            pass
        finally:
            self.osc.listeners.pop(connection, None)

    def _announce(self) -> None:
        from zeroconf import ServiceInfo, Zeroconf

        local = self.osc.host in ("127.0.0.1", "localhost")
        host = "127.0.0.1" if local else self.osc.host
        if host == "0.0.0.0":
            host = socket.gethostbyname(socket.gethostname())
        try:
            self._zeroconf = Zeroconf(interfaces=[host])
            address = [socket.inet_aton(host)]
            name = f"Neural FX {self.port}.{SERVICE}"
            self._zeroconf.register_service(ServiceInfo(SERVICE, name, self.port, addresses=address))
        except Exception as error:  # no multicast here: the tree is there all the same
            self.problem = f"not announced by zeroconf: {reason(error)}"

    problem: str = ""


def _command(text: str, listened: set[str]) -> None:
    """LISTEN or IGNORE; anything else is passed over, as the proposal has it."""
    try:
        value = json.loads(text)
        command, path = value["COMMAND"], value["DATA"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if command == "LISTEN" and isinstance(path, str) and len(listened) < MOST_LISTENED:
        listened.add(path)
    elif command == "IGNORE" and isinstance(path, str):
        listened.discard(path)


def _json(status: HTTPStatus, value: object) -> Response:
    body = json.dumps(value).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status, status.phrase, headers, body)


def _folder(path: str, contents: dict[str, Any], description: str) -> dict[str, Any]:
    return {"FULL_PATH": path, "ACCESS": 0, "DESCRIPTION": description, "CONTENTS": contents}


def _leaf(path: str, kind: str, value: object, access: int, description: str) -> dict[str, Any]:
    node = {"FULL_PATH": path, "TYPE": kind, "ACCESS": access, "DESCRIPTION": description}
    return node if value is None else {**node, "VALUE": [value]}


def _files(name: str) -> dict[str, Any]:
    return {
        "load": _leaf(f"/{name}/load", "s", None, 2, "change to a board file or capture of the media folders"),
        "save": _leaf(f"/{name}/save", "s", None, 2, "write the board to a new file of the media folders"),
    }


def _plays(name: str) -> dict[str, Any]:
    return {
        "note": _leaf(f"/{name}/note", "ii", None, 2, "pitch and velocity, 0 to 127; velocity 0 ends the note"),
        "bend": _leaf(f"/{name}/bend", "f", None, 2, "-1 to 1 of the bend range"),
        "cc": _leaf(f"/{name}/cc", "ii", None, 2, "a MIDI controller and its value"),
        "panic": _leaf(f"/{name}/panic", "N", None, 2, "ends all notes"),
    }


def _parameter(path: str, value: object, parameter: Parameter | None) -> dict[str, Any]:
    node = _leaf(path, "s" if isinstance(value, str) else "f", wire(value), 3, "")
    if parameter is not None:
        node |= {"RANGE": [{"MIN": parameter.minimum, "MAX": parameter.maximum}], "DESCRIPTION": parameter.description}
        if parameter.unit:
            node["UNIT"] = [parameter.unit]
    return node
