"""Keep track of peers, and limit how much each of them may send."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge import limits
from bridge.osc.packets import encode
from bridge.security import clean

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
