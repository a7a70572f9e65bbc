"""Send packets to TCP and UDP peers through queues with limits. Nobody waits for a slow peer."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections import Counter, OrderedDict
from typing import Any

from bridge import limits
from bridge.sockets import hang_up, send_within
from bridge.throttle import Troubles
from neural_fx.errors import reason


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
