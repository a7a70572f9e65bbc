"""An open websocket: messages, pings and a queue of what is sent."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.server import ServerProtocol

from bridge import limits
from bridge.osc.outbox import Outbox


class WebSocket:
    """An open websocket. Any thread may call `send`, which never waits. The rest is for the thread that serves it.

    Args:
        connection: the socket, after the handshake.
        protocol: the protocol's state.
        machine: numeric address of the peer.
    """

    def __init__(self, connection: socket.socket, protocol: ServerProtocol, machine: str) -> None:
        self.connection, self.protocol, self.machine = connection, protocol, machine
        self.outbox = Outbox(connection)
        self._lock = threading.Lock()

    def send(self, packet: bytes, key: object = None) -> None:
        """Queue a binary message. The arguments are those of `Outbox.put`."""
        with contextlib.suppress(InvalidState):  # it is being closed
            self._write(lambda: self.protocol.send_binary(packet), key)

    def close(self, code: CloseCode) -> None:
        """Queue a close frame."""
        with contextlib.suppress(InvalidState):
            self._write(lambda: self.protocol.send_close(code))

    def messages(self, closing: threading.Event) -> Iterator[bytes | str]:
        """Yield messages until the peer leaves, breaks the protocol, or does not answer pings.

        Args:
            closing: set when the server closes.
        """
        heard = pinged = time.monotonic()
        parts = bytearray()
        text = False
        while not closing.is_set() and not self.outbox.ended:
            now = time.monotonic()
            if now > heard + limits.WEBSOCKET_SILENT_SECONDS:
                return
            if now > max(heard, pinged) + limits.WEBSOCKET_PING_SECONDS:
                pinged = now
                self._write(lambda: self.protocol.send_ping(b""))
            try:
                data = self.connection.recv(limits.OSC_PACKET_BYTES)
            except TimeoutError:
                continue
            for frame in self._receive(data):
                heard = now
                if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                    parts.clear()
                    text = frame.opcode is Opcode.TEXT
                elif frame.opcode is not Opcode.CONT:
                    continue
                parts += frame.data
                if len(parts) > limits.OSC_PACKET_BYTES:
                    return self.close(CloseCode.MESSAGE_TOO_BIG)
                if frame.fin:
                    yield parts.decode("utf-8", "replace") if text else bytes(parts)
            if not data or self.protocol.close_expected():
                return

    def _receive(self, data: bytes) -> list[Frame]:
        """Return the frames that the next bytes complete, and queue answers to pings and closes."""
        with self._lock:
            if data:
                self.protocol.receive_data(data)
            else:
                self.protocol.receive_eof()
            self._flush(None)
            return [event for event in self.protocol.events_received() if isinstance(event, Frame)]

    def _write(self, act: Callable[[], None], key: object = None) -> None:
        with self._lock:
            act()
            self._flush(key)

    def _flush(self, key: object) -> None:
        """Queue the bytes that the protocol has to send. The caller holds the lock, so frames keep their order."""
        data = b"".join(self.protocol.data_to_send())
        if data:
            self.outbox.put(data, key)
