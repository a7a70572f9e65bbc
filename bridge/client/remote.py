"""A board of a worker as a processor, with knobs that are learned from the worker."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import mido
import numpy as np

from bridge import limits
from bridge.client.connection import Connection, host_and_port
from bridge.client.events import Events
from bridge.client.parameters import clean_sentence, read_parameters
from bridge.errors import BridgeError, ProtocolError
from bridge.protocol import PORT, Event, unpack_latency
from neural_fx.arrays import Audio
from neural_fx.errors import ParameterError, reason
from neural_fx.processor import Processor, Spec
from neural_fx.values import shown


def connect(
    address: str = f"localhost:{PORT}", board: str = "board", *, token: str = "", timeout: float = 5.0
) -> RemoteBoard:
    """Connect to a board of a running worker (`neural-fx serve`). Use the result like any processor.

    Args:
        address: ``HOST:PORT`` or ``HOST``; IPv6 as ``[::1]:9010``.
        board: name of the board.
        token: token of the worker, if it needs one.
        timeout: seconds to wait for the worker, also after a lost connection.

    Raises:
        BridgeError: the worker cannot be reached, or refuses. The message has the reason.
    """
    return RemoteBoard(address, board, token, timeout)


class RemoteBoard(Processor):
    """A board that runs in a worker. Its parameters are attributes, named ``SLOT_PARAM``.

    A lost connection is made again, and the stream then starts from its beginning. A call raises BridgeError if this
    takes longer than `timeout`.

    Args:
        address: ``HOST:PORT`` or ``HOST``.
        board: name of the board.
        token: token of the worker, if it needs one.
        timeout: total seconds for connecting, or for a block on its way to the worker and back.

    Attributes:
        address: host and port of the worker.
        board: name of the board.
        token: token of the worker.
        timeout: total seconds for connecting, or for a block on its way to the worker and back.
        problems: messages of the worker about this stream, such as unknown parameters. The newest is last.
        reconnects: number of connections that were lost and made again.
        round_trips: seconds that the last blocks took.

    Raises:
        BridgeError: the worker cannot be reached, or refuses.
    """

    def __init__(self, address: str, board: str, token: str = "", timeout: float = 5.0) -> None:
        super().__init__()
        if not (timeout > 0 and math.isfinite(timeout)):
            raise BridgeError(f"timeout {shown(timeout)}: expected seconds above 0")
        self.address = host_and_port(address)
        self.board = board
        self.token = token
        self.timeout = timeout
        self.round_trips: deque[float] = deque(maxlen=limits.CLIENT_ROUND_TRIPS)
        self.problems: deque[str] = deque(maxlen=limits.CLIENT_PROBLEMS)
        self.reconnects = 0
        self._connection: Connection | None = None
        self._places: dict[str, str] = {}
        self._chosen: dict[str, float] = {}
        self._events = Events()
        self._latency = 0
        self._skip = 0
        self._greet(Spec(48000, 1, 256), time.monotonic() + timeout)
        self._leave()

    if TYPE_CHECKING:  # type checkers cannot know the parameters of the worker's board

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __getstate__(self) -> dict[str, Any]:
        """Return the address and the settings. A copy makes a connection of its own."""
        return {
            **super().__getstate__(),
            "_connection": None,
            "_events": Events(),
            "round_trips": deque(maxlen=limits.CLIENT_ROUND_TRIPS),
        }

    @property
    def latency_samples(self) -> int:
        """Latency of the worker's board in samples."""
        return self._latency if self._spec is not None else 0

    def round_trip(self) -> Mapping[str, float]:
        """Return statistics of the last round trips.

        Returns:
            ``p50`` and ``p99`` in seconds, and ``count``.
        """
        if not self.round_trips:
            return {"p50": 0.0, "p99": 0.0, "count": 0}
        p50, p99 = np.percentile(self.round_trips, [50, 99])
        return {"p50": float(p50), "p99": float(p99), "count": len(self.round_trips)}

    @property
    def connected(self) -> bool:
        """Whether a stream is open and the worker answers.

        A worker that was killed or hung up is noticed at once. One that is stopped or out of reach gets a PING, and is
        noticed within three seconds (`bridge.limits`). The stream then ends. Between streams there is no connection,
        for example after a call with `reset=True`.
        """
        connection = self._connection
        if connection is None or connection.has_left():
            return False
        if time.monotonic() - connection.heard < limits.CLIENT_ALIVE_SECONDS:
            return True
        with self.exclusive():
            return self._connection is not None and self._answers(self._connection)

    def set_parameter(self, name: str, value: object) -> None:
        super().set_parameter(name, value)
        self._chosen[name] = self._values[name]
        self._turn(name)

    def _turn(self, name: str) -> None:
        """Send the value of a parameter with the next block."""
        self._events.set(self._places[name], self._values[name])

    def send(self, message: mido.Message | bytes, offset: int = 0) -> None:
        """Send a MIDI message to the instrument of this stream.

        Args:
            message: the message, or its bytes.
            offset: frames into the next block.

        Raises:
            BridgeError: the message is too long, the offset is negative, or too many messages wait for audio.
        """
        data = bytes(message) if isinstance(message, bytes) else bytes(message.bytes())
        self._events.add(Event(offset, midi=data), len(self._places))

    def close(self) -> None:
        """Close the connection. The next call connects again."""
        self._spec = None
        self._leave()

    # -- the stream ------------------------------------------------------------------------------------------------

    def prepare(self, spec: Spec) -> None:
        if spec.channels > limits.PROTOCOL_CHANNELS:
            raise BridgeError(f"{spec.channels} channels; a worker takes {limits.PROTOCOL_CHANNELS} at most")
        self._leave()
        self._greet(spec, time.monotonic() + self.timeout)

    def process_block(self, block: Audio) -> Audio:
        most = self._agreed.buffer_size
        parts = [self._exchange(block[:, at : at + most]) for at in range(0, block.shape[1], most)]
        out = parts[0] if len(parts) == 1 else np.concatenate(parts, 1)
        skipped = min(self._skip, out.shape[1])  # the first samples of the worker's stream are its latency
        self._skip -= skipped
        return out[:, skipped:]

    def _exchange(self, block: Audio) -> Audio:
        deadline = time.monotonic() + self.timeout
        while True:
            events: dict[object, Event] = {}
            try:
                connection = self._connection or self._greet(self._agreed, deadline)
                events = self._events.take()
                began = time.perf_counter()
                audio = connection.exchange(block, list(events.values()), deadline, self._notice)
            except (OSError, EOFError) as error:
                self._leave()
                if isinstance(error, BridgeError) and error.code:
                    raise
                self._events.put_back(events)
                self.reconnects += 1
                if time.monotonic() >= deadline:
                    raise BridgeError(f"the worker at {self._place} does not answer: {reason(error)}") from None
                time.sleep(min(0.05, max(deadline - time.monotonic(), 0)))
            else:
                self.round_trips.append(time.perf_counter() - began)
                return audio

    def _notice(self, found: dict[str, Any]) -> None:
        if "latency" in found:
            self._latency = unpack_latency(found)
        if "problem" in found:
            self.problems.append(clean_sentence(found["problem"]))

    def _answers(self, connection: Connection) -> bool:
        """Send a PING. If the worker does not answer, close the connection and return False."""
        try:
            connection.ping(time.monotonic() + min(self.timeout, limits.CLIENT_ANSWER_SECONDS), self._notice)
        except (OSError, EOFError):
            self._leave()
            return False
        return True

    def _greet(self, spec: Spec, deadline: float) -> Connection:
        """Connect and open a stream."""
        most = (limits.PROTOCOL_MESSAGE_BYTES - limits.CLIENT_EVENT_BYTES) // (4 * spec.channels)
        self._agreed = Spec(spec.sample_rate, spec.channels, min(spec.buffer_size, most, limits.PROTOCOL_FRAMES))
        connection = Connection(self.address, deadline)
        try:
            self._learn(connection.greet(self._hello(), deadline))
        except (OSError, EOFError) as error:
            connection.close()
            if isinstance(error, BridgeError) and not isinstance(error, ProtocolError):
                raise
            problem = str(error) or "it closed the connection"
            code = error.code if isinstance(error, ProtocolError) else ""
            raise BridgeError(f"{self._place} does not speak our protocol: {problem}", code) from None
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _hello(self) -> dict[str, object]:
        return {
            "board": self.board,
            "sample_rate": self._agreed.sample_rate,
            "channels": self._agreed.channels,
            "block": self._agreed.buffer_size,
            "token": self.token,
        }

    def _learn(self, found: dict[str, Any]) -> None:
        """Read the latency and the parameters of a WELCOME. Values that were set here are kept.

        Raises:
            ProtocolError: a field is wrong.
        """
        latency = unpack_latency(found)
        parameters = read_parameters(found, lambda name: name in self.__dict__ or hasattr(type(self), name))
        self._latency = latency
        self._skip = latency
        self._table = parameters.table
        self._places = parameters.places
        self._values = parameters.values
        self._choose_again()

    def _choose_again(self) -> None:
        """Send the values that were set here to the board that the worker has now."""
        for name, value in self._chosen.items():
            if name not in self._table or self._values[name] == value:
                continue
            try:
                self._values[name] = self._table[name].check(value)
                self._turn(name)
            except ParameterError as error:
                self.problems.append(str(error))

    def _leave(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.leave()
            self._connection = None

    def _end(self) -> None:
        super()._end()
        if self.__dict__.get("_connection") is not None:
            self._leave()

    @property
    def _place(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    _agreed: Spec
