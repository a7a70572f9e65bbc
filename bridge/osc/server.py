"""OSC over UDP and TCP: packets in, replies out, meters and echoes to subscribers."""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge import limits
from bridge.commands import ALL_COST, Asker, Call, find_command, worker_command
from bridge.errors import BridgeError, ProtocolError
from bridge.host import BoardHost, Observer
from bridge.osc.outbox import Datagrams, Outbox
from bridge.osc.packets import Framing, Message, decode, encode, sized, too_far
from bridge.osc.patterns import is_pattern
from bridge.osc.peers import Allowance, Deadlines, Machines, Peer, Subscriber
from bridge.osc.tree import Tree, wire
from bridge.security import ConnectionLimit, GuessLimiter, is_loopback, plain_address
from bridge.sockets import accept_all, bind_datagrams, hang_up, listen
from bridge.throttle import Troubles
from neural_fx.errors import NeuralFXError, reason
from neural_fx.parameters import decibels
from neural_fx.values import finite_number

SILENCE_DB = -120.0


@dataclass
class OscServer:
    """Listens for OSC on one port number, UDP and TCP.

    No packet ends one of its threads, and no peer makes another one wait: see `bridge.osc.peers`.

    Args:
        tree: what messages do.
        host, port: to bind; port 0 takes a free one.
        reply_port: where UDP senders are answered, on the machine that sent.
        token: what senders from other machines must say first, by ``/token TOKEN``.
        log: receives what went wrong, each kind once a minute.
        guesses: slows down those who guess the token.

    Attributes:
        subscribers: who gets meters and echoes, by (address, port) or connection.
        listeners: who gets the echoes of some addresses.
        malformed: packets that could not be read.

    Raises:
        OSError: the port cannot be bound.
    """

    tree: Tree
    host: str = "127.0.0.1"
    port: int = 9000
    reply_port: int = 9001
    token: str = ""
    subscribers: dict[object, Peer] = field(default_factory=dict)
    listeners: dict[object, tuple[Peer, set[str]]] = field(default_factory=dict)
    malformed: int = 0
    log: Callable[[str], None] = lambda sentence: None
    guesses: GuessLimiter = field(default_factory=GuessLimiter)

    def __post_init__(self) -> None:
        self.troubles = Troubles(self.log)
        self.listener, self.udp = _bind(self.host, self.port)
        self.port = self.listener.getsockname()[1]
        self.closing = threading.Event()
        self.limit = ConnectionLimit(limits.OSC_CONNECTIONS)
        self.connections: dict[socket.socket, Outbox] = {}
        self.datagrams = Datagrams(self.udp, self.troubles)
        self.machines = Machines(lambda address: self._udp_peer(address, self.reply_port))
        self.lock = threading.Lock()
        self._observer = Observer()
        self.threads = [
            threading.Thread(target=work, name=f"osc{work.__name__}", daemon=True)
            for work in (self._datagrams, self._accept, self._meters)
        ]
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        """Stop listening, and hang up."""
        self.closing.set()
        hang_up(self.listener)  # wakes the thread that waits for connections
        with self.lock:
            outboxes = list(self.connections.values())
        for outbox in outboxes:
            outbox.end()
        with contextlib.suppress(OSError):  # wakes the thread that waits for datagrams
            self.udp.sendto(b"", self.udp.getsockname())
        self.datagrams.end()
        deadline = time.monotonic() + 1
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.listener.close()
        self.udp.close()

    # -- packets ---------------------------------------------------------------------------------------------------

    def receive(
        self,
        data: bytes,
        peer: Peer,
        key: object,
        port: int | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        """Do what a packet says. Never raises: what goes wrong is counted, and the sender is informed.

        Args:
            data: the packet.
            peer: who sent it.
            key: its connection, or for UDP its address as `socket.recvfrom` has it.
            port: for UDP, where a subscriber without a port of its own is served.
            allowance: for UDP, that of the port that sent.
        """
        peer.heard = time.monotonic()
        if not peer.allow(1, allowance):  # before it costs the time to read it
            return
        try:
            messages = decode(data)
        except ProtocolError as error:
            self.malformed += 1
            self.troubles.note("malformed OSC packet", f"from {peer.machine}: {reason(error)}")
            peer.complain("/", reason(error))
            return
        cost = sum(_cost(message.address) for message in messages)
        if cost > 1 and not peer.allow(cost - 1, allowance):
            return
        for message in messages:
            peer.throttle()
            try:
                self._one(message, peer, key, port)
            except Exception as error:  # whatever a message caused, the next one is handled
                self._report(message, peer, error)

    def _one(self, message: Message, peer: Peer, key: object, port: int | None) -> None:
        command = worker_command(message.address)
        if command is not None and command.scope == "connection" and (peer.trusted or command.address == "/token"):
            connection = _Connection(self, peer, key, port)
            command(Call(message.address, message.arguments, Asker(peer.reply), self.tree, connection=connection))
        else:
            self.handle(message, peer)

    def handle(self, message: Message, peer: Peer) -> None:
        """Do what a message says, if its sender may say it. Never raises."""
        try:
            if not peer.trusted:
                peer.complain(message.address, "from another machine, send /token TOKEN first")
            elif problem := too_far(message):
                peer.complain(message.address, problem)
            else:
                self.tree.handle(message, peer.reply, peer.gone, peer)
        except Exception as error:
            self._report(message, peer, error)

    def _report(self, message: Message, peer: Peer, error: Exception) -> None:
        if not isinstance(error, NeuralFXError):
            self.troubles.note("OSC message failed", f"{message.address} from {peer.machine}: {reason(error)}")
        peer.complain(message.address, reason(error))

    def _check_token(self, arguments: tuple[Any, ...], peer: Peer) -> None:
        if peer.trusted:
            return
        given = arguments[0] if arguments else ""
        problem = self.guesses.problem(peer.machine, given if isinstance(given, str) else "", self.token)
        peer.trusted = not problem
        if problem:
            self.troubles.note("OSC token refused", f"from {peer.machine}: {problem}")
            peer.complain("/token", f"{problem}; from another machine, send /token TOKEN first")

    def trusts(self, machine: str) -> bool:
        """Return whether messages of a machine need no token: those of this one, or of any if there is no token."""
        return not self.token or is_loopback(machine)

    # -- subscriptions ---------------------------------------------------------------------------------------------

    def _subscribe(self, key: object, peer: Peer, port: int | None, udp: bool) -> None:
        if udp:
            assert isinstance(key, tuple)
            assert port is not None
            key = (key[0], port, *key[2:])
            peer = self._udp_subscriber(key, peer)
        with self.lock:
            known = key in self.subscribers
            if not known and not self._make_room(str(key[0]) if isinstance(key, tuple) else ""):
                raise BridgeError(f"{limits.OSC_SUBSCRIBERS} subscribers already; end one with /unsubscribe")
            self.subscribers[key] = peer
        self._send_all(peer)

    def _unsubscribe(self, key: object, port: int | None, udp: bool) -> None:
        """End one subscription, or for UDP without a port all of the machine."""
        with self.lock:
            for other in list(self.subscribers):
                same = udp and isinstance(other, tuple) and isinstance(key, tuple) and other[0] == key[0]
                if other is key or (same and isinstance(other, tuple) and port in (None, other[1])):
                    del self.subscribers[other]

    def _make_room(self, machine: str) -> bool:
        """Forget the UDP subscriber that was quiet the longest, if there are too many. The lock is held."""
        udp = [(key, peer.renewed) for key, peer in self.subscribers.items() if isinstance(peer, Subscriber)]
        own = [item for item in udp if isinstance(item[0], tuple) and item[0][0] == machine]
        if len(own) >= limits.OSC_SUBSCRIBERS_OF_A_MACHINE:
            udp = own
        elif len(self.subscribers) < limits.OSC_SUBSCRIBERS:
            return True
        if not udp:
            return False
        oldest, _ = min(udp, key=lambda item: item[1])
        del self.subscribers[oldest]
        return True

    def _expire(self) -> None:
        """End the UDP subscriptions that nobody renewed."""
        now = time.monotonic()
        with self.lock:
            for key, peer in list(self.subscribers.items()):
                if isinstance(peer, Subscriber) and now > peer.renewed + limits.OSC_SUBSCRIPTION_SECONDS:
                    del self.subscribers[key]
                    peer.reply("/error", "/subscribe", "the subscription ended; send /subscribe again")

    # -- sockets ---------------------------------------------------------------------------------------------------

    def _udp_peer(self, address: Any, port: int) -> Peer:
        where, machine = (address[0], port, *address[2:]), plain_address(address[0])
        return Peer(lambda packet, key: self.datagrams.put(where, packet, key), machine, self.trusts(machine))

    def _udp_subscriber(self, where: Any, owner: Peer) -> Subscriber:
        return Subscriber(lambda packet, key: self.datagrams.put(where, packet, key), owner.machine, owner=owner)

    def _datagrams(self) -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.udp, selectors.EVENT_READ)
            while not self.closing.is_set():
                try:
                    if waiting.select(limits.SOCKET_TICK_SECONDS):
                        data, address = self.udp.recvfrom(limits.OSC_PACKET_BYTES)
                        if data:
                            peer, allowance = self.machines.get(address), self.machines.allowance(address)
                            self.receive(data, peer, address, self.reply_port, allowance)
                except BlockingIOError:
                    continue
                except Exception as error:
                    if not self.closing.is_set():
                        self.troubles.note("UDP packet", reason(error))
                        self.closing.wait(0.01)

    def _accept(self) -> None:
        accept_all(self.listener, self.closing, self._welcome, self.troubles)

    def _welcome(self, connection: socket.socket, address: Any) -> None:
        machine = plain_address(address[0])
        if not self.limit.enter(machine):
            self.troubles.note("OSC connection refused", f"from {machine}: too many are open")
            with contextlib.suppress(OSError):
                connection.send(sized(encode("/error", "/", "too many connections are open; close one first")))
                connection.shutdown(socket.SHUT_WR)
            connection.close()
            return
        thread = threading.Thread(target=self._serve, args=(connection, machine), name="osc-tcp", daemon=True)
        self.limit.start(machine, thread)

    def _serve(self, connection: socket.socket, machine: str) -> None:
        framing, outbox = Framing(), Outbox(connection)

        def put(packet: bytes, key: object) -> None:
            outbox.put(framing.frame(packet), key)

        peer = Peer(put, machine, self.trusts(machine), outbox.throttle, lambda: outbox.ended)
        with self.lock:
            self.connections[connection] = outbox
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            problem = self._read(connection, peer, framing, outbox)
            if problem:
                self.troubles.note("OSC connection closed", f"of {machine}: {problem}")
        except OSError:
            pass  # it went away
        except Exception as error:
            self.troubles.note("OSC connection failed", f"of {machine}: {reason(error)}")
        finally:
            with self.lock:
                self.subscribers.pop(connection, None)
                self.connections.pop(connection, None)
            outbox.end()
            connection.close()
            self.limit.leave(machine)

    def _read(self, connection: socket.socket, peer: Peer, framing: Framing, outbox: Outbox) -> str:
        """Handle packets until the peer leaves, or return why it is disconnected."""
        deadlines = Deadlines(
            limits.OSC_FIRST_PACKET_SECONDS,
            limits.OSC_PACKET_SECONDS,
            limits.OSC_IDLE_SECONDS,
            limits.OSC_TOKEN_SECONDS,
        )
        while not self.closing.is_set():
            busy = connection in self.subscribers or time.monotonic() < outbox.sent + limits.OSC_IDLE_SECONDS
            problem = outbox.problem or deadlines.problem(peer.trusted, busy)
            if problem or outbox.ended:
                return problem
            try:
                data = connection.recv(limits.OSC_PACKET_BYTES)
            except TimeoutError:
                continue
            if not data:
                outbox.flush(1)
                return ""
            packets = 0
            try:
                for packet in framing.feed(data):
                    packets += 1
                    self.receive(packet, peer, connection)
            except ProtocolError as error:
                self.malformed += 1
                peer.complain("/", reason(error))
                outbox.flush(1)
                return reason(error)
            deadlines.received(packets, framing.pending)
        return ""

    # -- meters ----------------------------------------------------------------------------------------------------

    def _send_all(self, peer: Peer) -> None:
        for name, host in list(self.tree.boards.items()):
            for place in host.table():
                peer.update(f"/{name}/{place}", wire(host.value(place)))

    def _meters(self) -> None:
        while not self.closing.wait(limits.OSC_METER_SECONDS):
            try:
                self._expire()
            except Exception as error:
                self.troubles.note("subscriptions", reason(error))
            for name, host in list(self.tree.boards.items()):
                try:
                    self._meter(name, host)
                except Exception as error:  # a board of anyone's plugins; the other boards go on
                    self.troubles.note("meters", f"of {name}: {reason(error)}")

    def _meter(self, name: str, host: BoardHost) -> None:
        changed, host.changed = host.changed, set()
        with self.lock:
            subscribers, listeners = list(self.subscribers.values()), list(self.listeners.values())
        if not subscribers and not listeners:
            return
        table = host.table()
        echoes = {f"/{name}/{place}": wire(host.value(place)) for place in changed if place in table}
        for listener, wanted in listeners:
            for address, value in echoes.items():
                if address in wanted:
                    listener.update(address, value)
        telemetry = host.telemetry(self._observer)
        for subscriber in subscribers:
            for address, value in echoes.items():
                subscriber.update(address, value)
            subscriber.update(f"/{name}/meter", *map(_db, telemetry.peaks))
            subscriber.update(f"/{name}/cpu", float(telemetry.load))
            subscriber.update(f"/{name}/load", float(telemetry.load))  # for layouts from before /NAME/cpu
            subscriber.update(f"/{name}/dropouts", int(telemetry.late))


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Return a TCP and a UDP socket with the same port; a free TCP port may be taken on UDP."""
    for attempt in range(limits.OSC_BIND_ATTEMPTS):
        listener = listen(host, port)
        try:
            return listener, bind_datagrams(host, listener.getsockname()[1])
        except OSError:
            listener.close()
            if port or attempt == limits.OSC_BIND_ATTEMPTS - 1:
                raise
    raise OSError("no free port for both UDP and TCP")


def _cost(address: str) -> int:
    """Return what a message counts for."""
    if is_pattern(address):
        return ALL_COST
    command = find_command(address)
    return 1 if command is None else command.cost


@dataclass(frozen=True)
class _Connection:
    """A peer and where its packets come from, for the commands that belong to a connection."""

    server: OscServer
    peer: Peer
    key: object
    port: int | None

    def subscribe(self, arguments: tuple[Any, ...]) -> None:
        port = _port(arguments) or self.port
        self.server._subscribe(self.key, self.peer, port, self.port is not None)

    def unsubscribe(self, arguments: tuple[Any, ...]) -> None:
        self.server._unsubscribe(self.key, _port(arguments), self.port is not None)

    def check_token(self, arguments: tuple[Any, ...]) -> None:
        self.server._check_token(arguments, self.peer)


def _port(arguments: tuple[Any, ...]) -> int | None:
    """Return the port that ``/subscribe`` and ``/unsubscribe`` may name.

    Raises:
        BridgeError: the argument is no port.
    """
    if not arguments:
        return None
    number = finite_number(arguments[0], "port", text=False)  # Pure Data has no integers, so 9002.0 is a port
    if number != int(number) or not 0 < number < 65536:
        raise BridgeError(f"port {number:g}: expected a whole number from 1 to 65535")
    return int(number)


def _db(level: float) -> float:
    return 20 * math.log10(level) if level > decibels(SILENCE_DB) else SILENCE_DB
