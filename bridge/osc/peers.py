"""Send replies to peers through queues with limits, without waiting, and limit how much each peer may send."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge import limits
from bridge.osc.packets import encode
from bridge.security import clean
from bridge.sockets import hang_up, send_within
from bridge.throttle import Troubles
from neural_fx.errors import reason

Put = Callable[[bytes, object], None]
"""``put(packet, key)``: queue a packet. With a key, it replaces a packet with the same key that still waits."""


def _nothing() -> None:
    """Do nothing."""


def _never() -> bool:
    """Return False, because UDP does not show that a peer is gone."""
    return False


@dataclass
class Allowance:
    """Count the messages of a sender in the present second."""

    second: int = 0
    count: int = 0
    dropped: int = 0

    def take(self, messages: int) -> tuple[bool, int]:
        """Count messages.

        Args:
            messages: number of new messages.

        Returns:
            Whether they are allowed, and how many messages were dropped in the last second with any.
        """
        dropped, now = 0, int(time.monotonic())
        if now != self.second:
            dropped = self.dropped
            self.second, self.count, self.dropped = now, 0, 0
        self.count += messages
        allowed = self.count <= limits.OSC_MESSAGES_PER_SECOND
        self.dropped += 0 if allowed else messages
        return allowed, dropped


@dataclass(eq=False)
class Peer:
    """A sender of messages that gets replies.

    Attributes:
        put: queues a packet without waiting.
        machine: numeric address.
        trusted: False until the peer has given the token, if it needs one.
        throttle: waits until queued replies have been read. Only the peer's own thread may call it.
        gone: returns whether the peer has left. Work that it started then stops.
        heard: time of its last packet on the monotonic clock.
        allowance: limit for messages of a TCP peer. Every UDP port of a machine has a limit of its own.
        complaints: limit for error replies.
    """

    put: Put
    machine: str = ""
    trusted: bool = True
    throttle: Callable[[], None] = _nothing
    gone: Callable[[], bool] = _never
    heard: float = field(default_factory=time.monotonic)
    allowance: Allowance = field(default_factory=Allowance)
    complaints: Allowance = field(default_factory=Allowance)

    def reply(self, address: str, *arguments: Any) -> None:
        """Queue a reply. Never waits and never raises.

        Args:
            address: OSC address.
            arguments: values. A reply with a value that OSC has no type for is dropped.
        """
        self._send(None, address, arguments)

    def update(self, address: str, *arguments: Any) -> None:
        """Queue a value. It replaces a value of the same address that was not sent yet.

        Args:
            address: OSC address.
            arguments: values.
        """
        self._send(address, address, arguments)

    def complain(self, address: str, sentence: str) -> None:
        """Reply with an error, at most `limits.OSC_COMPLAINTS_PER_SECOND` times a second.

        Args:
            address: address that the error is about.
            sentence: the error.
        """
        self.complaints.take(1)
        if self.complaints.count <= limits.OSC_COMPLAINTS_PER_SECOND:
            self.reply("/error", address, sentence)

    def allow(self, messages: int, allowance: Allowance | None = None) -> bool:
        """Count messages, and return whether they are allowed.

        Args:
            messages: number of new messages.
            allowance: the limit; None for that of the peer.
        """
        allowed, dropped = (allowance or self.allowance).take(messages)
        if dropped:
            self.reply("/error", "/", f"{dropped} messages dropped: over {limits.OSC_MESSAGES_PER_SECOND} a second")
        return allowed

    def _send(self, key: object, address: str, arguments: tuple[Any, ...]) -> None:
        if address == "/error":
            arguments = tuple(clean(a) if isinstance(a, str) else a for a in arguments)
        try:
            self.put(encode(address, *arguments), key)
        except Exception:  # a value that OSC has no type for, or a peer that is gone
            return


@dataclass(eq=False)
class Subscriber(Peer):
    """A UDP port that receives meters.

    Attributes:
        owner: the peer that subscribed. Its packets renew the subscription.
    """

    owner: Peer | None = None

    @property
    def renewed(self) -> float:
        """Time of the last renewal on the monotonic clock."""
        return max(self.heard, self.owner.heard if self.owner is not None else 0.0)


class Outbox:
    """Send queued packets to one TCP peer, on a thread of its own.

    A peer that does not read loses updates first. If too many replies wait as well, or the peer reads nothing for
    `limits.OSC_SEND_SECONDS`, it is disconnected.

    Args:
        connection: a socket with a timeout.

    Attributes:
        ended: True when nothing more is sent. The thread that reads from the connection must then hang up.
        problem: what the peer did wrong, if that ended the connection.
        dropped: number of updates that were not queued.
        sent: time when the peer last read something, on the monotonic clock.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.sent = -math.inf
        self.ended = False
        self.problem = ""
        self.dropped = 0
        self._queue: OrderedDict[object, bytes] = OrderedDict()
        self._cost = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, data: bytes, key: object = None) -> None:
        """Queue bytes without waiting.

        Args:
            data: the bytes.
            key: bytes with the same key that still wait are replaced; None for none.
        """
        with self._changed:
            if self.ended:
                return
            if key is None:
                key = object()
            elif (waiting := self._queue.get(key)) is not None:
                self._cost -= len(waiting) + limits.OSC_OVERHEAD_BYTES
            elif self._cost + len(data) > limits.OSC_QUEUE_BYTES:
                self.dropped += 1
                return
            self._queue[key] = data
            self._cost += len(data) + limits.OSC_OVERHEAD_BYTES
            if self._cost > limits.OSC_QUEUE_BYTES + limits.OSC_QUEUE_BYTES // 4:
                self._stop("too many replies wait for it")
            elif self._thread is None:
                thread = threading.Thread(target=self._run, name="osc-send", daemon=True)
                thread.start()
                self._thread = thread
            self._changed.notify_all()

    def throttle(self) -> None:
        """Wait until half of the queue is free, or the peer is disconnected."""
        with self._changed:
            while self._cost > limits.OSC_QUEUE_BYTES // 2 and not self.ended:
                self._changed.wait(limits.OSC_SEND_SECONDS)

    def flush(self, seconds: float) -> None:
        """Wait until all is sent, for a limited time."""
        with self._changed:
            self._changed.wait_for(lambda: self.ended or not self._cost, seconds)

    def end(self) -> None:
        """Drop what is queued, and hang up."""
        with self._changed:
            self._stop("")
        hang_up(self.connection)

    def _stop(self, problem: str) -> None:
        """Accept and send nothing more. The thread that reads from the connection notices this and hangs up."""
        self.ended = True
        self.problem = self.problem or problem
        self._queue.clear()
        self._cost = 0
        self._changed.notify_all()

    def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                send_within(self.connection, b"".join(batch), limits.OSC_SEND_SECONDS)
                self.sent = time.monotonic()
                with self._changed:
                    self._cost = max(0, self._cost - sum(len(data) + limits.OSC_OVERHEAD_BYTES for data in batch))
                    self._changed.notify_all()
        except TimeoutError as error:
            self.problem = str(error)
        except OSError:
            pass  # it went away
        finally:
            self.end()

    def _next(self) -> list[bytes] | None:
        """Wait for packets, and return at least one; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self.ended or bool(self._queue))
            batch: list[bytes] = []
            size = 0
            while self._queue and size < limits.OSC_BATCH_BYTES:
                _, data = self._queue.popitem(last=False)
                batch.append(data)
                size += len(data)
            return batch or None


class Datagrams:
    """Send queued packets to all UDP peers, on a thread of its own. Packets that do not fit are dropped.

    Args:
        udp: a socket that does not block.
        troubles: counts packets that cannot be sent.
    """

    def __init__(self, udp: socket.socket, troubles: Troubles) -> None:
        self.udp, self.troubles = udp, troubles
        self.dropped = 0
        self.ended = False
        self._queue: OrderedDict[tuple[object, ...], tuple[bytes, Any]] = OrderedDict()
        self._costs: Counter[object] = Counter()
        self._cost = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="osc-udp-send", daemon=True)
        self._thread.start()

    def put(self, where: Any, packet: bytes, key: object = None) -> None:
        """Queue a packet without waiting.

        Args:
            where: an address for `socket.sendto`.
            packet: the packet.
            key: a packet to the same address with the same key that still waits is replaced; None for none.
        """
        cost = len(packet) + limits.OSC_OVERHEAD_BYTES
        with self._changed:
            if self.ended:
                return
            entry = (where, object() if key is None else key)
            if entry in self._queue:
                self._count(where, -len(self._queue[entry][0]) - limits.OSC_OVERHEAD_BYTES)
            elif self._costs[where] + cost > limits.OSC_QUEUE_BYTES or self._cost + cost > limits.OSC_DATAGRAM_BYTES:
                self.dropped += 1
                return
            self._queue[entry] = packet, where
            self._count(where, cost)
            self._changed.notify()

    def end(self) -> None:
        """Stop sending."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()
        self._thread.join(1)

    def _count(self, where: object, cost: int) -> None:
        self._cost += cost
        self._costs[where] += cost
        if not self._costs[where]:
            del self._costs[where]

    def _run(self) -> None:
        while (item := self._next()) is not None:
            packet, where = item
            try:
                self.udp.sendto(packet, where)
            except BlockingIOError:  # the system's buffer is full
                time.sleep(0.001)
                self.dropped += 1
            except Exception as error:  # for example an address that cannot be reached, or a packet that is too long
                self.dropped += 1
                self.troubles.note("UDP packet not sent", reason(error))

    def _next(self) -> tuple[bytes, Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self.ended or bool(self._queue))
            if self.ended:
                return None
            _, (packet, where) = self._queue.popitem(last=False)
            self._count(where, -len(packet) - limits.OSC_OVERHEAD_BYTES)
            return packet, where


class Machines:
    """Remember the machines that sent UDP packets.

    Machines that have given the token are in a list of their own, so others cannot push them out.

    Args:
        make: builds the peer for an address of `socket.recvfrom`.
    """

    def __init__(self, make: Callable[[Any], Peer]) -> None:
        self.make = make
        self._trusted: OrderedDict[str, Peer] = OrderedDict()
        self._strangers: OrderedDict[str, Peer] = OrderedDict()
        self._allowances: OrderedDict[Any, Allowance] = OrderedDict()

    def get(self, address: Any) -> Peer:
        """Return the peer of an address. All ports of a machine share one peer."""
        machine = str(address[0])
        peer = self._trusted.pop(machine, None) or self._strangers.pop(machine, None) or self.make(address)
        peers = self._trusted if peer.trusted else self._strangers
        peers[machine] = peer
        if len(peers) > limits.OSC_MACHINES:
            peers.popitem(last=False)
        return peer

    def allowance(self, address: Any) -> Allowance:
        """Return the limit of one port. A program cannot use up the limit of another one."""
        allowance = self._allowances.pop(address, None) or Allowance()
        self._allowances[address] = allowance
        if len(self._allowances) > limits.OSC_MACHINES:
            self._allowances.popitem(last=False)
        return allowance


@dataclass
class Deadlines:
    """Check whether a TCP connection has waited too long. Single bytes do not extend a time.

    Args:
        first: seconds until the first complete packet.
        whole: seconds for a packet from its first byte on.
        idle: seconds between complete packets.
        token: seconds until the token, if one is needed.
    """

    first: float
    whole: float
    idle: float
    token: float
    began: float = field(default_factory=time.monotonic)
    heard: float | None = None
    partial: float | None = None

    def received(self, packets: int, pending: bool) -> None:
        """Note that bytes came.

        Args:
            packets: number of packets that they completed.
            pending: whether a packet has begun and is not complete.
        """
        now = time.monotonic()
        if packets:
            self.heard = now
        if not pending:
            self.partial = None
        elif packets or self.partial is None:
            self.partial = now

    def problem(self, trusted: bool, busy: bool) -> str:
        """Return a sentence about the time that is over; empty if none is.

        Args:
            trusted: whether the peer has given the token or needs none.
            busy: whether the peer only reads, such as a subscriber, and may be idle.
        """
        now = time.monotonic()
        if self.heard is None and now > self.began + self.first:
            return f"no complete packet within {self.first:g} s"
        if self.partial is not None and now > self.partial + self.whole:
            return f"a packet took longer than {self.whole:g} s"
        if not trusted and now > self.began + self.token:
            return f"no token within {self.token:g} s"
        if self.heard is not None and not busy and now > self.heard + self.idle:
            return f"idle for {self.idle:g} s"
        return ""
