"""A board of a worker as a processor: the audio goes over TCP and comes back processed."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import mido
import numpy as np
from numpy.typing import NDArray

from bridge.errors import BridgeError
from bridge.protocol import (
    MOST_BYTES,
    MOST_CHANNELS,
    MOST_FRAMES,
    PORT,
    VERSION,
    Event,
    Kind,
    pack,
    pack_audio,
    pack_json,
    unpack_audio,
    unpack_json,
)
from bridge.stream_server import receive, send
from neural_fx.errors import reason
from neural_fx.parameters import Parameter
from neural_fx.processor import Processor, Spec

Audio = NDArray[np.float32]


def connect(
    address: str = f"localhost:{PORT}", board: str = "board", *, token: str = "", timeout: float = 5.0
) -> RemoteBoard:
    """A board of a running worker (`neural-fx serve`), to be called or put into a `Pedalboard` like any processor.

    Args:
        address: ``HOST:PORT`` or ``HOST``; IPv6 as ``[::1]:9010``.
        board: its name there.
        token: the worker's, if it wants one.
        timeout: seconds to wait for the worker, also when it has to be reached again.

    Raises:
        BridgeError: it cannot be reached, or refuses; says why.
    """
    return RemoteBoard(address, board, token, timeout)


class RemoteBoard(Processor):
    """A board that runs in a worker. Its parameters are attributes, named ``SLOT_PARAM``.

    A connection that breaks is made again (the stream starts anew); BridgeError if that takes longer than `timeout`.
    """

    def __init__(self, address: str, board: str, token: str = "", timeout: float = 5.0) -> None:
        super().__init__()
        host, _, port = address.rpartition(":") if ":" in address else (address, "", str(PORT))
        if not port.isdecimal():
            raise BridgeError(f"{address!r}: expected HOST:PORT")
        self.address, self.board, self.token, self.timeout = (host.strip("[]"), int(port)), board, token, timeout
        self.round_trips: deque[float] = deque(maxlen=4096)
        self.reconnects = 0
        self._socket: socket.socket | None = None
        self._places: dict[str, str] = {}
        self._chosen: dict[str, float] = {}
        self._pending: list[Event] = []
        self._latency = self._skip = self._sequence = 0
        self._greet(Spec(48000, 1, 256))
        self._leave()

    if TYPE_CHECKING:  # the parameters are those of the worker's board, which type checkers cannot know

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __getstate__(self) -> dict[str, Any]:
        """Return the address and the settings; a copy makes a connection of its own."""
        return {**super().__getstate__(), "_socket": None, "_pending": [], "round_trips": deque(maxlen=4096)}

    @property
    def latency_samples(self) -> int:
        """What the worker says of its board."""
        return self._latency if self._spec is not None else 0

    def round_trip(self) -> Mapping[str, float]:
        """Median and 99th percentile of the last round trips, in seconds, and their number."""
        if not self.round_trips:
            return {"p50": 0.0, "p99": 0.0, "count": 0}
        p50, p99 = np.percentile(self.round_trips, [50, 99])
        return {"p50": float(p50), "p99": float(p99), "count": len(self.round_trips)}

    def set_parameter(self, name: str, value: object) -> None:
        super().set_parameter(name, value)
        self._chosen[name] = self._values[name]
        self._pending.append(Event(0, self._places[name], self._values[name]))

    def send(self, message: mido.Message | bytes, offset: int = 0) -> None:
        """Play a MIDI message on the instrument, `offset` frames into the next block; for this stream alone."""
        data = bytes(message) if isinstance(message, bytes) else bytes(message.bytes())
        self._pending.append(Event(offset, midi=data))

    def close(self) -> None:
        """Say goodbye to the worker; the next call connects again."""
        self._spec = None
        self._leave()

    # -- the stream ------------------------------------------------------------------------------------------------

    def prepare(self, spec: Spec) -> None:
        if spec.channels > MOST_CHANNELS:
            raise BridgeError(f"{spec.channels} channels; a worker takes {MOST_CHANNELS} at most")
        self._leave()
        self._greet(spec)

    def process_block(self, block: Audio) -> Audio:
        most = self._agreed.buffer_size
        parts = [self._exchange(block[:, at : at + most]) for at in range(0, block.shape[1], most)]
        out = parts[0] if len(parts) == 1 else np.concatenate(parts, 1)
        skipped = min(self._skip, out.shape[1])  # the worker's stream is late by its latency: those are not ours
        self._skip -= skipped
        return out[:, skipped:]

    def _exchange(self, block: Audio) -> Audio:
        events, self._pending = self._pending, []
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                if self._socket is None:
                    self._greet(self._agreed)
                return self._once(self._socket, block, events)  # type: ignore[arg-type]
            except (OSError, EOFError) as error:
                if isinstance(error, BridgeError) and error.code:
                    raise
                self._leave()
                self.reconnects += 1
                if time.monotonic() > deadline:
                    raise BridgeError(f"the worker at {self._place} does not answer: {reason(error)}") from None
                time.sleep(0.05)

    def _once(self, connection: socket.socket, block: Audio, events: list[Event]) -> Audio:
        began = time.perf_counter()
        self._sequence += 1
        send(connection, pack(Kind.BLOCK, pack_audio(block, events), self._sequence))
        while True:
            kind, sequence, payload = receive(connection)
            if kind is Kind.AUDIO and sequence == self._sequence:
                self.round_trips.append(time.perf_counter() - began)
                return unpack_audio(payload)[0]
            if kind is Kind.NOTICE:
                self._latency = int(unpack_json(bytes(payload)).get("latency", self._latency))
            elif kind is Kind.REFUSE:
                raise _refused(unpack_json(bytes(payload)))
            elif kind is Kind.BYE:
                raise EOFError("the worker says goodbye")

    def _greet(self, spec: Spec) -> None:
        """Connect and agree on a stream."""
        most = MOST_BYTES // (4 * spec.channels) - 64
        self._agreed = Spec(spec.sample_rate, spec.channels, min(spec.buffer_size, most, MOST_FRAMES))
        try:
            connection = socket.create_connection(self.address, self.timeout)
        except OSError as error:
            raise BridgeError(f"no worker at {self._place}: {reason(error)}; is `neural-fx serve` running?") from None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hello = {
                "version": VERSION,
                "board": self.board,
                "sample_rate": spec.sample_rate,
                "channels": spec.channels,
                "block": self._agreed.buffer_size,
                "token": self.token,
            }
            send(connection, pack_json(Kind.HELLO, hello))
            kind, _, payload = receive(connection)
            found = unpack_json(bytes(payload))
            if kind is Kind.REFUSE:
                raise _refused(found)
            if kind is not Kind.WELCOME:
                raise BridgeError(f"the worker at {self._place} answers with {kind.name}; is it one of ours?")
            self._learn(found)
        except (OSError, EOFError) as error:
            connection.close()
            if isinstance(error, BridgeError):
                raise
            problem = str(error) or "it closed the connection"
            raise BridgeError(f"{self._place} does not speak our protocol: {problem}") from None
        self._socket = connection

    def _learn(self, found: dict[str, object]) -> None:
        """The latency and the parameter table of a WELCOME; values set here before are kept."""
        self._latency = self._skip = int(found.get("latency", 0))  # type: ignore[call-overload]
        table = found.get("parameters")
        for place, about in table.items() if isinstance(table, dict) else ():
            name = place.replace("/", "_").replace("-", "_")
            if not isinstance(about.get("value"), (int, float)):
                continue
            low, high = about.get("min", -1e9), about.get("max", 1e9)
            value = float(about["value"])
            self._table[name] = Parameter(name, low, high, about.get("default", value), str(about.get("unit", "")))
            self._places[name] = place
            self._values[name] = value
            if self._chosen.get(name, value) != value:
                self.set_parameter(name, self._chosen[name])

    def _leave(self) -> None:
        if self._socket is not None:
            try:
                self._socket.settimeout(0.2)
                self._socket.sendall(pack(Kind.BYE))
            except OSError:
                pass
            self._socket.close()
            self._socket = None

    def _end(self) -> None:
        super()._end()
        if self.__dict__.get("_socket") is not None:
            self._leave()

    @property
    def _place(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    _agreed: Spec


def _refused(found: dict[str, Any]) -> BridgeError:
    """The error for what a REFUSE says."""
    return BridgeError(f"the worker refuses: {found.get('reason')}", str(found.get("code")))
