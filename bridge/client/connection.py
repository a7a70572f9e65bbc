"""A connection to a worker: the handshake, blocks, pings and notices."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridge import limits
from bridge.client.parameters import clean_sentence
from bridge.errors import BridgeError, ProtocolError
from bridge.protocol import PORT, VERSION, Event, Kind, Refusal, pack, pack_audio, pack_json, unpack_audio, unpack_json
from bridge.wire import Inbox, Presence, remaining, send
from neural_fx.arrays import Audio
from neural_fx.errors import reason
from neural_fx.values import shown

Notice = Callable[[dict[str, Any]], None]
"""Called with the JSON of a NOTICE."""


class Connection:
    """A connection to a worker. One thread may use it at a time, except `has_left`.

    Args:
        address: host and port.
        deadline: time of `time.monotonic` by which the connection must be open.

    Attributes:
        heard: time of `time.monotonic` of the last message.

    Raises:
        BridgeError: there is no worker.
    """

    def __init__(self, address: tuple[str, int], deadline: float) -> None:
        self.place = f"{address[0]}:{address[1]}"
        self.heard = 0.0
        self._sequence = 0
        self._socket = self._dial(address, deadline)
        self._inbox = Inbox(self._socket)

    def greet(self, hello: Mapping[str, object], deadline: float) -> dict[str, Any]:
        """Send HELLO and return the WELCOME.

        Args:
            hello: the fields of the HELLO, without the version.
            deadline: time of `time.monotonic` by which the answer must have arrived.

        Raises:
            BridgeError: the worker refuses.
            ProtocolError: it speaks another version.
            EOFError: it closed the connection.
            OSError: the connection is broken, or the worker took too long.
        """
        send(self._socket, pack_json(Kind.HELLO, {"version": VERSION, **hello}), remaining(deadline))
        kind, _, payload = self._inbox.receive(deadline=deadline)
        self.heard = time.monotonic()
        if kind is Kind.REFUSE:
            raise _refused(unpack_json(bytes(payload)))
        if kind is not Kind.WELCOME:
            raise BridgeError(f"the worker at {self.place} answers with {kind.name}; is it one of ours?")
        found = unpack_json(bytes(payload))
        if found.get("version", VERSION) != VERSION:
            raise ProtocolError(f"version {shown(found['version'])}; this client speaks {VERSION}", Refusal.VERSION)
        return found

    def exchange(self, block: Audio, events: Sequence[Event], deadline: float, notice: Notice) -> Audio:
        """Send a block and return the worker's answer, of the same shape.

        Args:
            block: (channels, frames).
            events: events in the block.
            deadline: time of `time.monotonic` by which the answer must have arrived.
            notice: handles notices.

        Raises:
            BridgeError: the worker refuses the stream, or answers with another shape.
            EOFError: the worker ends the stream.
            OSError: the connection is broken, or the worker took too long.
        """
        self._sequence += 1
        send(self._socket, pack(Kind.BLOCK, pack_audio(block, events), self._sequence), remaining(deadline))
        while True:
            kind, sequence, payload = self._hear(deadline, notice)
            if kind is Kind.AUDIO and sequence == self._sequence:
                audio = unpack_audio(payload)[0]
                if audio.shape != block.shape:
                    sizes = f"{audio.shape} for {block.shape}"
                    raise ProtocolError(f"the worker at {self.place} answers with {sizes} samples", Refusal.MALFORMED)
                return audio

    def ping(self, deadline: float, notice: Notice) -> None:
        """Send a PING and wait for the answer.

        Args:
            deadline: time of `time.monotonic` by which the answer must have arrived.
            notice: handles notices.

        Raises:
            EOFError: the worker ends the stream.
            OSError: the connection is broken, or the worker took too long.
        """
        send(self._socket, pack(Kind.PING), remaining(deadline))
        while self._hear(deadline, notice)[0] is not Kind.PONG:
            pass

    def has_left(self) -> bool:
        """Return whether the worker closed the connection. Any thread may call this."""
        try:
            return Presence(self._socket).left()
        except (OSError, ValueError):  # closed by another thread
            return True

    def leave(self) -> None:
        """Send BYE and close the connection."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(limits.CLIENT_GOODBYE_SECONDS)
            self._socket.sendall(pack(Kind.BYE))
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _dial(self, address: tuple[str, int], deadline: float) -> socket.socket:
        try:
            connection = socket.create_connection(address, remaining(deadline))
        except (OSError, ValueError, OverflowError) as error:  # ValueError: a name that cannot be encoded
            raise self._no_worker(error) from None
        try:
            if connection.getsockname() == connection.getpeername():  # a free port of this machine can answer itself
                raise ConnectionRefusedError("connection refused")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            raise self._no_worker(error) from None
        return connection

    def _no_worker(self, error: Exception) -> BridgeError:
        return BridgeError(f"no worker at {self.place}: {reason(error)}; is `neural-fx serve` running?")

    def _hear(self, deadline: float, notice: Notice) -> tuple[Kind, int, memoryview]:
        """Receive the next message. Notices, pings and the end of the stream are handled here.

        Raises:
            BridgeError: the worker refuses the stream.
            EOFError: the worker ends the stream.
        """
        kind, sequence, payload = self._inbox.receive(deadline=deadline)
        self.heard = time.monotonic()
        if kind is Kind.NOTICE:
            notice(unpack_json(bytes(payload)))
        elif kind is Kind.PING:
            send(self._socket, pack(Kind.PONG, bytes(payload), sequence), remaining(deadline))
        elif kind is Kind.REFUSE:
            raise _refused(unpack_json(bytes(payload)))
        elif kind is Kind.BYE:
            raise EOFError("the worker says goodbye")
        return kind, sequence, payload


def host_and_port(address: str) -> tuple[str, int]:
    """Split ``HOST:PORT``, ``HOST`` or ``[HOST]:PORT`` into host and port.

    Raises:
        BridgeError: the port is not a number from 1 to 65535.
    """
    host, _, port = address.rpartition(":") if ":" in address else (address, "", str(PORT))
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 65536):
        raise BridgeError(f"{address!r}: expected HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _refused(found: dict[str, Any]) -> BridgeError:
    """Convert a REFUSE to an error."""
    why = clean_sentence(found.get("reason")) or "it gives no reason"
    return BridgeError(f"the worker refuses: {why}", clean_sentence(found.get("code"))[:32] or Refusal.MALFORMED)
