"""OSC over UDP and TCP: packets in, replies out, meters and echoes to subscribers."""

from __future__ import annotations

import contextlib
import hmac
import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge.errors import ProtocolError
from bridge.osc.packets import MOST_BYTES, Framing, Message, decode, encode
from bridge.osc.tree import Tree, wire
from neural_fx.parameters import decibels

METER_SECONDS = 0.05
MOST_CONNECTIONS = 64
MOST_PER_SECOND = 50_000
"""Messages that one sender may send; more are dropped, and it is told once a second."""
SILENCE_DB = -120.0


@dataclass
class Sender:
    """Someone who sends: how to answer, whether they may say anything but the token, and how much they sent lately."""

    send: Callable[[bytes], None]
    trusted: bool = True
    second: int = 0
    count: int = 0
    dropped: int = 0

    def reply(self, address: str, *arguments: Any) -> None:
        """Send a message back; a peer that is gone is no error."""
        with contextlib.suppress(OSError, ValueError):
            self.send(encode(address, *arguments))

    def allow(self, messages: int) -> bool:
        """Whether they may send so many more now."""
        now = int(time.monotonic())
        if now != self.second:
            if self.dropped:
                self.reply("/error", "/", f"{self.dropped} messages dropped: over {MOST_PER_SECOND} a second")
            self.second, self.count, self.dropped = now, 0, 0
        self.count += messages
        if self.count > MOST_PER_SECOND:
            self.dropped += messages
            return False
        return True


@dataclass
class OscServer:
    """Listens for OSC on one port number, UDP and TCP.

    Args:
        tree: what messages do.
        host, port: to bind; port 0 takes a free one.
        reply_port: where UDP senders are answered, on the machine that sent.
        token: what senders from other machines must say first, by ``/token TOKEN``.

    Raises:
        OSError: the port cannot be bound.
    """

    tree: Tree
    host: str = "127.0.0.1"
    port: int = 9000
    reply_port: int = 9001
    token: str = ""
    subscribers: dict[object, Sender] = field(default_factory=dict)
    listeners: dict[object, tuple[Sender, set[str]]] = field(default_factory=dict)
    malformed: int = 0

    def __post_init__(self) -> None:
        self.listener = socket.create_server((self.host, self.port), backlog=16)
        self.port = self.listener.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.udp.bind((self.host, self.port))
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        self.senders: dict[str, Sender] = {}
        self.lock = threading.Lock()
        for work in (self._datagrams, self._accept, self._meters):
            threading.Thread(target=work, name=f"osc{work.__name__}", daemon=True).start()

    def close(self) -> None:
        """Stop listening, hang up."""
        self.closing.set()
        with contextlib.suppress(OSError):  # wakes the thread that waits for connections
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            open_now = list(self.connections)
        for connection in open_now:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):  # wakes the thread that waits for datagrams
            self.udp.sendto(b"", (self.host, self.port))
        self.udp.close()

    # -- packets ---------------------------------------------------------------------------------------------------

    def _handle(self, data: bytes, sender: Sender, key: object) -> None:
        try:
            messages = decode(data)
        except ProtocolError as error:
            self.malformed += 1
            if self.malformed % 100 == 1:
                sender.reply("/error", "/", str(error))
            return
        if not sender.allow(len(messages)):
            return
        for message in messages:
            if message.address == "/subscribe" and sender.trusted:
                self._subscribe(key, sender, message.arguments)
            elif message.address == "/unsubscribe":
                self.subscribers.pop(key, None)
            else:
                self.handle(message, sender)

    def handle(self, message: Message, sender: Sender) -> None:
        """Do what a message says, if its sender may say it."""
        if message.address == "/token":
            said = message.arguments[0] if message.arguments else None
            sender.trusted |= isinstance(said, str) and hmac.compare_digest(said.encode(), self.token.encode())
        if sender.trusted:
            if message.address != "/token":
                self.tree.handle(message, sender.reply)
        else:
            sender.reply("/error", message.address, "from another machine, say /token TOKEN first")

    def trusts(self, machine: str) -> bool:
        """Whether a machine's messages are taken without a token: this one's, or anybody's if there is no token."""
        return not self.token or machine.startswith("127.") or machine == "::1"

    def _subscribe(self, key: object, sender: Sender, arguments: tuple[Any, ...]) -> None:
        port = int(arguments[0]) if arguments and isinstance(arguments[0], (int, float)) else None
        if isinstance(key, str) and port is not None:  # UDP: to that port of the same machine
            if not 0 < port < 65536:
                sender.reply("/error", "/subscribe", f"{port} is no port")
                return
            sender = self._to(key, port)
        if len(self.subscribers) < MOST_CONNECTIONS:
            self.subscribers[key] = sender
            self._tell_all(sender)

    def _to(self, machine: str, port: int) -> Sender:
        def send(packet: bytes) -> None:
            self.udp.sendto(packet, (machine, port))

        return Sender(send)

    def _datagrams(self) -> None:
        while not self.closing.is_set():
            try:
                data, (machine, *_) = self.udp.recvfrom(MOST_BYTES)
            except OSError:
                continue
            if not data:
                continue
            if machine not in self.senders:
                if len(self.senders) > 1024:
                    self.senders.clear()
                self.senders[machine] = self._to(machine, self.reply_port)
                self.senders[machine].trusted = self.trusts(machine)
            self._handle(data, self.senders[machine], machine)

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, (machine, *_) = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if len(self.connections) >= MOST_CONNECTIONS:
                    connection.close()
                    continue
                self.connections.add(connection)
            threading.Thread(target=self._serve, args=(connection, machine), name="osc-tcp", daemon=True).start()

    def _serve(self, connection: socket.socket, machine: str) -> None:
        framing, lock = Framing(), threading.Lock()

        def answer(packet: bytes) -> None:
            with lock:
                connection.sendall(framing.frame(packet))

        sender = Sender(answer, self.trusts(machine))
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := connection.recv(MOST_BYTES):
                for packet in framing.feed(data):
                    self._handle(packet, sender, connection)
        except (OSError, ProtocolError):
            pass
        finally:
            self.subscribers.pop(connection, None)
            with self.lock:
                self.connections.discard(connection)
            connection.close()

    # -- meters ----------------------------------------------------------------------------------------------------

    def _tell_all(self, sender: Sender) -> None:
        for name, host in self.tree.boards.items():
            for place in host.table():
                sender.reply(f"/{name}/{place}", wire(host.value(place)))

    def _meters(self) -> None:
        while not self.closing.wait(METER_SECONDS):
            for name, host in list(self.tree.boards.items()):
                changed, host.changed = host.changed, set()
                if not self.subscribers and not self.listeners:
                    continue
                table = host.table()
                echoes = {f"/{name}/{place}": wire(host.value(place)) for place in changed if place in table}
                for listener, wanted in list(self.listeners.values()):
                    for address, value in echoes.items():
                        if address in wanted:
                            listener.reply(address, value)
                streams = list(host.streams)
                levels = [max((s.peak[i] for s in streams), default=0.0) for i in (0, 1)]
                for stream in streams:
                    stream.peak = [0.0, 0.0]
                load, late = sum(s.load for s in streams), sum(s.late for s in streams)
                for subscriber in list(self.subscribers.values()):
                    for address, value in echoes.items():
                        subscriber.reply(address, value)
                    subscriber.reply(f"/{name}/meter", *map(_db, levels))
                    subscriber.reply(f"/{name}/load", float(load))
                    subscriber.reply(f"/{name}/dropouts", int(late))


def _db(level: float) -> float:
    return 20 * math.log10(level) if level > decibels(SILENCE_DB) else SILENCE_DB
