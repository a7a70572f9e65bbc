"""OSCQuery: the tree of addresses over HTTP, changes over a websocket, announced by zeroconf.

As the proposal at https://github.com/Vidvox/OSCQueryProposal has it: every node as JSON with FULL_PATH, CONTENTS,
TYPE, VALUE, RANGE, ACCESS, DESCRIPTION and UNIT, single attributes by ``?VALUE``, and ``?HOST_INFO``; LISTEN and IGNORE
over the websocket, values as OSC packets.
"""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from bridge import limits
from bridge.commands import COMMANDS, Command, commands_of
from bridge.host import InstrumentHost
from bridge.osc.peers import Peer
from bridge.osc.server import OscServer
from bridge.osc.tree import wire
from bridge.osc.web import Answer, WebServer, web_url
from bridge.osc.websocket import WebSocket
from bridge.security import as_address, family_of, new_token
from neural_fx import __version__
from neural_fx.errors import reason
from neural_fx.parameters import Parameter
from neural_fx.values import shown, suggestion

SERVICE = "_oscjson._tcp.local."
ATTRIBUTES = ("VALUE", "RANGE", "TYPE", "ACCESS", "DESCRIPTION", "UNIT", "FULL_PATH", "CONTENTS")


@dataclass
class QueryServer:
    """Answers OSCQuery for an `OscServer`.

    Browsers and other machines must give a token: that of the OSC server, or without one a random one.
    `bridge.security.web_refusal` has the rules.

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
    problem: str = ""
    _own_token: str = field(default_factory=new_token, repr=False)

    def __post_init__(self) -> None:
        osc = self.osc
        self.web = WebServer(
            osc.host, self.port, lambda: self.token, self._answer, self._listen, osc.guesses, osc.troubles
        )
        self.port = self.web.port
        self._zeroconf: Any = None
        self._announcing = threading.Thread(target=self._announce, name="oscquery-announce", daemon=True)
        if self.announce:
            self._announcing.start()

    def close(self) -> None:
        """Hang up and take the announcement back."""
        self.web.close()
        if self.announce:
            # Closing zeroconf while it announces leaves a task behind.
            self._announcing.join(limits.HTTP_GOODBYE_SECONDS)
        if self._zeroconf is not None:
            closing = threading.Thread(target=self._zeroconf.close, name="oscquery-goodbye", daemon=True)
            closing.start()
            closing.join(limits.HTTP_GOODBYE_SECONDS)

    @property
    def token(self) -> str:
        """Return what browsers and other machines must give."""
        return self.osc.token or self._own_token

    @property
    def url(self) -> str:
        """Return the URL for a browser. It has the token if that is random, not if the user chose it."""
        return web_url(self.osc.host, self.port, "" if self.osc.token else self._own_token)

    # -- HTTP ------------------------------------------------------------------------------------------------------

    def _answer(self, path: str, attribute: str) -> Answer:
        if attribute == "HOST_INFO":
            return HTTPStatus.OK, self.host_info()
        node = self.node(path)
        if node is None:
            return HTTPStatus.NOT_FOUND, {"error": f"nothing at {shown(path)}"}
        if not attribute:
            return HTTPStatus.OK, node
        if attribute not in ATTRIBUTES:
            hint, known = suggestion(attribute, ATTRIBUTES), ", ".join(ATTRIBUTES)
            error = f"unknown attribute {shown(attribute)}{hint}; known: {known}"
            return HTTPStatus.BAD_REQUEST, {"error": error}
        if attribute not in node:
            return HTTPStatus.NO_CONTENT, None
        return HTTPStatus.OK, {attribute: node[attribute]}

    def host_info(self) -> dict[str, Any]:
        """Return what this server is and can do, as OSCQuery's HOST_INFO."""
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
        """Return the node at a path with all below it, or None if there is none."""
        boards = self.osc.tree.boards
        if path == "/":
            contents = {name: self._board(name) for name in boards} | _worker()
            return _folder("/", contents, "Neural FX")
        _, name, *rest = path.split("/")
        node: dict[str, Any] | None = self._board(name) if name in boards else _worker().get(name)
        for part in rest:
            node = (node or {}).get("CONTENTS", {}).get(part)
        return node

    def _board(self, name: str) -> dict[str, Any]:
        host = self.osc.tree.boards[name]
        contents: dict[str, Any] = {}
        for command in commands_of(host):
            _add(contents, f"/{name}", command.place.split("/"), command)
        for place, parameter in host.table().items():
            *slot, last = place.split("/")
            into = contents
            for part in slot:
                node = into.setdefault(part, _folder(f"/{name}/{part}", {}, "a slot"))
                into = node.setdefault("CONTENTS", {})  # a slot may have the name of a command
            into[last] = _parameter(f"/{name}/{place}", host.value(place), parameter)
        return _folder(f"/{name}", contents, "an instrument" if isinstance(host, InstrumentHost) else "a board")

    # -- websocket -------------------------------------------------------------------------------------------------

    def _listen(self, websocket: WebSocket) -> None:
        outbox = websocket.outbox
        peer = Peer(websocket.send, websocket.machine, throttle=outbox.throttle, gone=lambda: outbox.ended)
        listened: set[str] = set()
        with self.osc.lock:
            self.osc.listeners[websocket] = (peer, listened)
        try:
            for message in websocket.messages(self.web.closing):
                if isinstance(message, bytes):
                    self.osc.receive(message, peer, websocket)
                elif peer.allow(1):
                    _command(message, listened)
        finally:
            with self.osc.lock:
                self.osc.listeners.pop(websocket, None)
                self.osc.subscribers.pop(websocket, None)

    def _announce(self) -> None:
        try:
            from zeroconf import ServiceInfo, Zeroconf

            host = _announced_host(self.osc.host)
            self._zeroconf = Zeroconf(interfaces=[host])
            address = [socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)]
            name = f"Neural FX {self.port}.{SERVICE}"
            self._zeroconf.register_service(ServiceInfo(SERVICE, name, self.port, addresses=address))
        except Exception as error:  # no multicast here: the tree is there all the same
            self.problem = f"not announced by zeroconf: {reason(error)}"


def _announced_host(host: str) -> str:
    """Return the numeric address to announce for the host that is bound.

    Raises:
        OSError: the name cannot be resolved.
    """
    address = as_address(host)
    if address is not None and not address.is_unspecified:
        return str(address)
    name = host if host and address is None else socket.gethostname()
    return str(socket.getaddrinfo(name, None, family_of(name))[0][4][0])


def _command(text: str, listened: set[str]) -> None:
    """Do what LISTEN or IGNORE says; ignore anything else, as the proposal has it."""
    try:
        value = json.loads(text)
        command, path = value["COMMAND"], value["DATA"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if (
        command == "LISTEN"
        and isinstance(path, str)
        and len(path) <= limits.OSC_PATTERN_CHARACTERS
        and len(listened) < limits.WEBSOCKET_LISTENED
    ):
        listened.add(path)
    elif command == "IGNORE" and isinstance(path, str):
        listened.discard(path)


def _folder(path: str, contents: dict[str, Any], description: str) -> dict[str, Any]:
    return {"FULL_PATH": path, "ACCESS": 0, "DESCRIPTION": description, "CONTENTS": contents}


def _leaf(path: str, kind: str, value: object, access: int, description: str) -> dict[str, Any]:
    node = {"FULL_PATH": path, "TYPE": kind, "ACCESS": access, "DESCRIPTION": description}
    return node if value is None else {**node, "VALUE": [value]}


def _worker() -> dict[str, Any]:
    """Return the nodes of the worker's own commands, by the first part of their addresses."""
    contents: dict[str, Any] = {}
    for command in COMMANDS:
        if not command.of_board:
            _add(contents, "", command.address[1:].split("/"), command)
    return contents


def _add(contents: dict[str, Any], path: str, parts: list[str], command: Command) -> None:
    """Put a command into a tree. A node may be a command and have others below it."""
    *folders, last = parts
    for part in folders:
        path = f"{path}/{part}"
        contents = contents.setdefault(part, _folder(path, {}, part)).setdefault("CONTENTS", {})
    kinds = "".join(argument.kind[-1] for argument in command.arguments) or "N"
    node = _leaf(f"{path}/{last}", kinds, None, 2, _description(command))
    if any(argument.minimum is not None for argument in command.arguments):
        node["RANGE"] = [
            {} if argument.minimum is None else {"MIN": argument.minimum, "MAX": argument.maximum}
            for argument in command.arguments
        ]
    contents[last] = contents.get(last, {}) | node


def _description(command: Command) -> str:
    """Return what a command does and takes, as plain text."""
    names = ", ".join(argument.name for argument in command.arguments)
    text = command.help.replace("`", "")
    return f"{text} (arguments: {names})" if names else text


def _parameter(path: str, value: object, parameter: Parameter | None) -> dict[str, Any]:
    node = _leaf(path, "s" if isinstance(value, str) else "f", wire(value), 3, "")
    if parameter is not None:
        node |= {"RANGE": [{"MIN": parameter.minimum, "MAX": parameter.maximum}], "DESCRIPTION": parameter.description}
        if parameter.unit:
            node["UNIT"] = [parameter.unit]
    return node
