"""The worker's side of the streaming protocol: a thread for each client, which is its stream's engine thread."""

from __future__ import annotations

import contextlib
import hmac
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.errors import ProtocolError
from bridge.host import BoardHost, BoardStream, board_in
from bridge.media import Media
from bridge.priority import hurry
from bridge.protocol import (
    HEADER,
    VERSION,
    Hello,
    Kind,
    Refusal,
    pack,
    pack_audio,
    pack_json,
    unpack_audio,
    unpack_header,
    unpack_hello,
)
from neural_fx.errors import NeuralFXError
from neural_fx.placement import LivePlacement
from neural_fx.processor import Spec
from neural_fx.values import suggestion

HANDSHAKE_SECONDS = 5.0
IDLE_SECONDS = 60.0
"""A client that sends nothing for this long, not even a PING, is gone."""
SEND_SECONDS = 5.0
MOST_CLIENTS = 256


@dataclass
class Session:
    """A client that is being served."""

    peer: str
    hello: Hello
    stream: BoardStream


@dataclass
class StreamServer:
    """Listens for audio clients.

    Args:
        boards: by name; looked up at every handshake.
        host, port: to bind; port 0 takes a free one.
        token: what clients must say; empty: nothing.
        media: the files that boards sent by clients may use.
        placement: decides on which device those boards run, as for `BoardHost`.

    Raises:
        OSError: the port cannot be bound.
    """

    boards: dict[str, BoardHost]
    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    media: Media = field(default_factory=Media)
    log: Callable[[str], None] = lambda sentence: None
    placement: LivePlacement | None = None
    sessions: dict[socket.socket, Session] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.listener = socket.create_server((self.host, self.port), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._accept, name="stream-accept", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Say goodbye to all clients and stop listening."""
        self.closing.set()
        with self.lock:
            open_now = list(self.connections)
        with contextlib.suppress(OSError):  # wakes the thread that waits for connections
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in open_now:
            try:
                connection.sendall(pack(Kind.BYE))
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(2)

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, address = self.listener.accept()
            except OSError:
                return
            with self.lock:
                crowded = len(self.connections) >= MOST_CLIENTS
                if not crowded:
                    self.connections.add(connection)
            if crowded:
                _refuse(connection, Refusal.BUSY, f"{MOST_CLIENTS} clients are connected already")
                connection.close()
                continue
            name = f"stream-{address[1]}"
            threading.Thread(target=self._serve, args=(connection, address[0]), name=name, daemon=True).start()

    def _serve(self, connection: socket.socket, peer: str) -> None:
        host = None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(HANDSHAKE_SECONDS)
            hello = self._hello(connection)
            host = self._host(hello)
            stream = self._open(host, hello)
            session = self.sessions[connection] = Session(peer, hello, stream)
            connection.settimeout(IDLE_SECONDS)
            connection.sendall(pack_json(Kind.WELCOME, self._welcome(host, stream)))
            self.log(f"{peer} plays through {host.name}: {hello.channels} channels, {hello.sample_rate:g} Hz")
            hurry()
            self._play(connection, session, host)
        except ProtocolError as error:
            _refuse(connection, error.code or Refusal.MALFORMED, str(error))
        except (OSError, EOFError):
            pass  # the client went away
        finally:
            ended = self.sessions.pop(connection, None)
            if host is not None and ended is not None:
                host.close(ended.stream)
                self.log(f"{peer} left {host.name}: {ended.stream.blocks} blocks, {ended.stream.late} late")
            with self.lock:
                self.connections.discard(connection)
            connection.close()

    def _hello(self, connection: socket.socket) -> Hello:
        kind, _, payload = receive(connection)
        if kind is not Kind.HELLO:
            raise ProtocolError(f"expected HELLO first, found {kind.name}", Refusal.MALFORMED)
        hello = unpack_hello(bytes(payload))
        if not hmac.compare_digest(hello.token.encode(), self.token.encode()):
            raise ProtocolError("a token is needed, and this is not it", Refusal.TOKEN)
        return hello

    def _host(self, hello: Hello) -> BoardHost:
        """The board of that name; without a name the first that fits; else one of the client's own."""
        fitting = [host for host in self.boards.values() if host.takes_notes == hello.notes]
        host = self.boards.get(hello.board) if hello.board else next(iter(fitting), None)
        if host is not None:
            return host
        if hello.text:
            try:
                make = board_in(hello.text, self.media)
                return BoardHost(hello.board, make, lambda _, said: self.log(said), self.placement)
            except (NeuralFXError, ValueError, RuntimeError) as error:
                raise ProtocolError(f"the session's board: {error}", Refusal.BOARD) from None
        known = ", ".join(self.boards) or "none"
        wanted = repr(hello.board) if hello.board else "that takes notes" if hello.notes else "for audio"
        hint = suggestion(hello.board, self.boards) if hello.board else ""
        raise ProtocolError(f"no board {wanted}{hint}; there is: {known}", Refusal.BOARD)

    def _open(self, host: BoardHost, hello: Hello) -> BoardStream:
        try:
            return host.open(Spec(hello.sample_rate, hello.channels, hello.block))
        except (NeuralFXError, ValueError, RuntimeError) as error:
            raise ProtocolError(f"{hello.board} cannot play this: {error}", Refusal.FORMAT) from None

    def _play(self, connection: socket.socket, session: Session, host: BoardHost) -> None:
        latency = session.stream.latency
        while not self.closing.is_set():
            kind, sequence, payload = receive(connection)
            stream = session.stream
            if kind is Kind.BLOCK:
                audio, events = unpack_audio(payload)
                if audio.shape[0] != stream.spec.channels or audio.shape[1] > stream.spec.buffer_size:
                    raise ProtocolError(f"a block of {audio.shape} does not fit what was agreed", Refusal.FORMAT)
                out = stream.process(audio, events)
                send(connection, pack(Kind.AUDIO, pack_audio(out), sequence))
                if stream.latency != latency:
                    latency = stream.latency
                    send(connection, pack_json(Kind.NOTICE, {"latency": latency}))
            elif kind is Kind.PING:
                send(connection, pack(Kind.PONG, bytes(payload), sequence))
            elif kind is Kind.RESET:
                session.stream = self._open(host, session.hello)
                host.close(stream)
                send(connection, pack_json(Kind.RESET, {"latency": session.stream.latency}, sequence))
            elif kind is Kind.BYE:
                return
            else:
                raise ProtocolError(f"{kind.name} is not for a client to send here", Refusal.MALFORMED)

    def _welcome(self, host: BoardHost, stream: BoardStream) -> dict[str, object]:
        """What a client learns of its board, and of the others."""
        parameters = {}
        for address, parameter in host.table().items():
            about: dict[str, object] = {"value": host.value(address)}
            if parameter is not None:
                about |= {"min": parameter.minimum, "max": parameter.maximum, "default": parameter.default}
                about |= {"unit": parameter.unit, "description": parameter.description}
            parameters[address] = about
        return {
            "version": VERSION,
            "board": host.name,
            "boards": {name: other.takes_notes for name, other in self.boards.items()},
            "latency": stream.latency,
            "parameters": parameters,
            "macros": macros(host),
            "text": host.text(self.media.base),
        }


def macros(host: BoardHost) -> list[dict[str, object]]:
    """Name, position (0..1), and the values at 0 and 1 with their unit, of every macro of a board."""
    board, found = host.master, []
    for i, macro in enumerate(board.macros, 1):
        low, high, unit = macro.unit(board.knobs())
        found.append({"name": macro.name, "value": board.value(f"macro/{i}"), "min": low, "max": high, "unit": unit})
    return found


def receive(connection: socket.socket) -> tuple[Kind, int, memoryview]:
    """The next message: kind, sequence number, payload.

    Raises:
        ProtocolError: it is none.
        EOFError: the other side closed the connection.
        OSError: it is broken, or silent for longer than its time limit.
    """
    kind, length, sequence = unpack_header(bytes(_exactly(connection, HEADER.size)))
    return kind, sequence, _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> memoryview:
    data = memoryview(bytearray(count))
    at = 0
    while at < count:
        got = connection.recv_into(data[at:])
        if not got:
            raise EOFError
        at += got
    return data


def send(connection: socket.socket, message: bytes) -> None:
    """Send all of it; a peer that does not read within `SEND_SECONDS` counts as gone (OSError)."""
    before = connection.gettimeout()
    connection.settimeout(SEND_SECONDS)
    connection.sendall(message)
    connection.settimeout(before)


def _refuse(connection: socket.socket, code: str, reason: str) -> None:
    try:
        connection.settimeout(1)
        connection.sendall(pack_json(Kind.REFUSE, {"code": code, "reason": reason}))
    except OSError:
        pass
