"""Use a board of a worker as a processor. Audio goes to the worker over TCP and comes back processed."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import mido
import numpy as np
from numpy.typing import NDArray

from bridge import limits
from bridge.errors import BridgeError, ProtocolError
from bridge.protocol import (
    PORT,
    VERSION,
    Event,
    Kind,
    Refusal,
    pack,
    pack_audio,
    pack_event,
    pack_json,
    shortened,
    unpack_audio,
    unpack_json,
    unpack_latency,
)
from bridge.wire import Inbox, Presence, remaining, send
from neural_fx.errors import ParameterError, reason
from neural_fx.parameters import Parameter
from neural_fx.processor import Processor, Spec
from neural_fx.values import shown

Audio = NDArray[np.float32]

_UNLIMITED = 1e9


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
        self.address, self.board, self.token, self.timeout = _host_and_port(address), board, token, timeout
        self.round_trips: deque[float] = deque(maxlen=limits.CLIENT_ROUND_TRIPS)
        self.problems: deque[str] = deque(maxlen=limits.CLIENT_PROBLEMS)
        self.reconnects = 0
        self._socket: socket.socket | None = None
        self._places: dict[str, str] = {}
        self._chosen: dict[str, float] = {}
        self._waiting: dict[object, Event] = {}
        self._numbers = 0
        self._heard = 0.0
        self._latency = self._skip = self._sequence = 0
        self._greet(Spec(48000, 1, 256), time.monotonic() + timeout)
        self._leave()

    if TYPE_CHECKING:  # type checkers cannot know the parameters of the worker's board

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __getstate__(self) -> dict[str, Any]:
        """Return the address and the settings. A copy makes a connection of its own."""
        state = {
            **super().__getstate__(),
            "_socket": None,
            "_waiting": {},
            "round_trips": deque(maxlen=limits.CLIENT_ROUND_TRIPS),
        }
        state.pop("_inbox", None)
        return state

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
        connection = self._socket
        if connection is None or _has_left(connection):
            return False
        if time.monotonic() - self._heard < limits.CLIENT_ALIVE_SECONDS:
            return True
        with self.exclusive():
            return self._socket is not None and self._answers(self._socket)

    def set_parameter(self, name: str, value: object) -> None:
        super().set_parameter(name, value)
        self._chosen[name] = self._values[name]
        self._turn(name)

    def _turn(self, name: str) -> None:
        """Send the value of a parameter with the next block."""
        place = self._places[name]
        self._waiting.pop(place, None)
        self._waiting[place] = Event(0, place, self._values[name])

    def send(self, message: mido.Message | bytes, offset: int = 0) -> None:
        """Send a MIDI message to the instrument of this stream.

        Args:
            message: the message, or its bytes.
            offset: frames into the next block.

        Raises:
            BridgeError: the message is too long, the offset is negative, or too many messages wait for audio.
        """
        data = bytes(message) if isinstance(message, bytes) else bytes(message.bytes())
        event = Event(offset, midi=data)
        pack_event(event)
        if len(self._waiting) >= limits.CLIENT_MIDI_QUEUE + len(self._places):
            raise BridgeError(f"{limits.CLIENT_MIDI_QUEUE} MIDI messages wait for audio; process some first")
        self._numbers += 1
        self._waiting[self._numbers] = event

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
                if self._socket is None:
                    self._greet(self._agreed, deadline)
                events = self._next_events()
                return self._once(self._socket, block, list(events.values()), deadline)  # type: ignore[arg-type]
            except (OSError, EOFError) as error:
                self._leave()
                if isinstance(error, BridgeError) and error.code:
                    raise
                self._waiting = {**events, **self._waiting}
                self.reconnects += 1
                if time.monotonic() >= deadline:
                    raise BridgeError(f"the worker at {self._place} does not answer: {reason(error)}") from None
                time.sleep(min(0.05, max(deadline - time.monotonic(), 0)))

    def _next_events(self) -> dict[object, Event]:
        """Take the events that fit into the next block. Another thread may set parameters at the same time."""
        found: dict[object, Event] = {}
        room = limits.CLIENT_EVENT_BYTES - 8  # without the counts before the events
        for key in list(self._waiting)[: limits.PROTOCOL_EVENTS]:
            room -= len(pack_event(self._waiting[key]))
            if room < 0 and found:
                break
            found[key] = self._waiting.pop(key)
        return found

    def _once(self, connection: socket.socket, block: Audio, events: list[Event], deadline: float) -> Audio:
        began = time.perf_counter()
        self._sequence += 1
        message = pack(Kind.BLOCK, pack_audio(block, events), self._sequence)
        send(connection, message, remaining(deadline))
        while True:
            kind, sequence, payload = self._hear(connection, deadline)
            if kind is Kind.AUDIO and sequence == self._sequence:
                self.round_trips.append(time.perf_counter() - began)
                audio = unpack_audio(payload)[0]
                if audio.shape != block.shape:
                    sizes = f"{audio.shape} for {block.shape}"
                    raise ProtocolError(f"the worker at {self._place} answers with {sizes} samples", Refusal.MALFORMED)
                return audio

    def _hear(self, connection: socket.socket, deadline: float) -> tuple[Kind, int, memoryview]:
        """Receive the next message. Notices, pings and the end of the stream are handled here.

        Raises:
            BridgeError: the worker refuses the stream.
            EOFError: the worker ends the stream.
        """
        kind, sequence, payload = self._inbox.receive(deadline=deadline)
        self._heard = time.monotonic()
        if kind is Kind.NOTICE:
            self._notice(unpack_json(bytes(payload)))
        elif kind is Kind.PING:
            send(connection, pack(Kind.PONG, bytes(payload), sequence), remaining(deadline))
        elif kind is Kind.REFUSE:
            raise _refused(unpack_json(bytes(payload)))
        elif kind is Kind.BYE:
            raise EOFError("the worker says goodbye")
        return kind, sequence, payload

    def _notice(self, found: dict[str, Any]) -> None:
        if "latency" in found:
            self._latency = unpack_latency(found)
        if "problem" in found:
            self.problems.append(_sentence(found["problem"]))

    def _answers(self, connection: socket.socket) -> bool:
        """Send a PING. If the worker does not answer, close the connection and return False."""
        deadline = time.monotonic() + min(self.timeout, limits.CLIENT_ANSWER_SECONDS)
        try:
            send(connection, pack(Kind.PING), remaining(deadline))
            while self._hear(connection, deadline)[0] is not Kind.PONG:
                pass
        except (OSError, EOFError):
            self._leave()
            return False
        return True

    def _greet(self, spec: Spec, deadline: float) -> None:
        """Connect and open a stream."""
        most = (limits.PROTOCOL_MESSAGE_BYTES - limits.CLIENT_EVENT_BYTES) // (4 * spec.channels)
        self._agreed = Spec(spec.sample_rate, spec.channels, min(spec.buffer_size, most, limits.PROTOCOL_FRAMES))
        connection = self._dial(deadline)
        self._inbox = Inbox(connection)
        try:
            self._learn(self._welcome(connection, deadline))
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
        self._socket = connection

    def _dial(self, deadline: float) -> socket.socket:
        try:
            connection = socket.create_connection(self.address, remaining(deadline))
        except (OSError, ValueError, OverflowError) as error:  # ValueError: a name that cannot be encoded
            raise BridgeError(f"no worker at {self._place}: {reason(error)}; is `neural-fx serve` running?") from None
        try:
            if connection.getsockname() == connection.getpeername():  # a free port of this machine can answer itself
                raise ConnectionRefusedError("connection refused")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            raise BridgeError(f"no worker at {self._place}: {reason(error)}; is `neural-fx serve` running?") from None
        return connection

    def _welcome(self, connection: socket.socket, deadline: float) -> dict[str, Any]:
        hello = {
            "version": VERSION,
            "board": self.board,
            "sample_rate": self._agreed.sample_rate,
            "channels": self._agreed.channels,
            "block": self._agreed.buffer_size,
            "token": self.token,
        }
        send(connection, pack_json(Kind.HELLO, hello), remaining(deadline))
        kind, _, payload = self._inbox.receive(deadline=deadline)
        self._heard = time.monotonic()
        if kind is Kind.REFUSE:
            raise _refused(unpack_json(bytes(payload)))
        if kind is not Kind.WELCOME:
            raise BridgeError(f"the worker at {self._place} answers with {kind.name}; is it one of ours?")
        found = unpack_json(bytes(payload))
        if found.get("version", VERSION) != VERSION:
            raise ProtocolError(f"version {shown(found['version'])}; this client speaks {VERSION}", Refusal.VERSION)
        return found

    def _learn(self, found: dict[str, Any]) -> None:
        """Read the latency and the parameters of a WELCOME. Values that were set here are kept.

        Raises:
            ProtocolError: a field is wrong.
        """
        latency = unpack_latency(found)
        listed = found.get("parameters", {})
        if not isinstance(listed, dict):
            raise ProtocolError(f"parameters: expected a mapping, found {shown(listed)}", Refusal.MALFORMED)
        table: dict[str, Parameter] = {}
        places: dict[str, str] = {}
        values: dict[str, float] = {}
        used: Counter[str] = Counter()
        for place, about in listed.items():
            if not isinstance(about, dict):
                raise ProtocolError(f"parameter {shown(place)}: expected a mapping", Refusal.MALFORMED)
            if not _is_number(about.get("value")):
                continue  # a choice, whose value is a name
            pack_event(Event(0, place))  # raises an error if the address is too long to send
            name = self._free_name(place, table, used)
            table[name], values[name] = _parameter(name, about)
            places[name] = place
        self._latency = self._skip = latency
        self._table, self._places, self._values = table, places, values
        self._choose_again()

    def _free_name(self, place: str, taken: Mapping[str, object], used: Counter[str]) -> str:
        """Return the attribute name for an address: ``SLOT_PARAM``, with a suffix if another parameter has it.

        Args:
            place: the address.
            taken: names of other parameters.
            used: how often each name occurred so far. This keeps the search short if many are the same.
        """
        name = place.replace("/", "_").replace("-", "_")
        name = f"p{name}" if name.startswith("_") else name
        if name in self.__dict__ or hasattr(type(self), name):
            name += "_"
        found = name
        while found in taken:
            used[name] += 1
            found = f"{name}_{used[name] + 1}"
        return found

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
    _inbox: Inbox


def _host_and_port(address: str) -> tuple[str, int]:
    """Split ``HOST:PORT``, ``HOST`` or ``[HOST]:PORT`` into host and port.

    Raises:
        BridgeError: the port is not a number from 1 to 65535.
    """
    host, _, port = address.rpartition(":") if ":" in address else (address, "", str(PORT))
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 65536):
        raise BridgeError(f"{address!r}: expected HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _has_left(connection: socket.socket) -> bool:
    try:
        return Presence(connection).left()
    except (OSError, ValueError):  # closed by another thread
        return True


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _finite(about: Mapping[str, Any], field: str, otherwise: float, name: str) -> float:
    """Read a number of a parameter from a WELCOME.

    Args:
        about: fields of the parameter.
        field: name of the field.
        otherwise: value if the field is missing.
        name: name of the parameter, for the message.

    Raises:
        ProtocolError: the field is not a finite number.
    """
    value = about.get(field, otherwise)
    with contextlib.suppress(OverflowError):
        if _is_number(value) and math.isfinite(value):
            return float(value)
    raise ProtocolError(f"{shown(name)}: {field} {shown(value)} is not a finite number", Refusal.MALFORMED)


def _parameter(name: str, about: Mapping[str, Any]) -> tuple[Parameter, float]:
    """Read a parameter and its value from a WELCOME.

    Args:
        name: name of the parameter.
        about: fields of the parameter.

    Raises:
        ProtocolError: a number is not finite, or the minimum is above the maximum.
    """
    value = _finite(about, "value", 0.0, name)
    low = _finite(about, "min", min(-_UNLIMITED, value), name)
    high = _finite(about, "max", max(_UNLIMITED, value), name)
    if low > high:
        raise ProtocolError(f"{shown(name)}: min {low:g} is above max {high:g}", Refusal.MALFORMED)
    default = min(max(_finite(about, "default", value, name), low), high)
    unit = about.get("unit", "")
    return Parameter(name, low, high, default, _sentence(unit)[:32]), min(max(value, low), high)


def _sentence(text: object) -> str:
    """Return text of a worker without control characters; empty for anything that is not text."""
    if not isinstance(text, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in shortened(text))


def _refused(found: dict[str, Any]) -> BridgeError:
    """Convert a REFUSE to an error."""
    why = _sentence(found.get("reason")) or "it gives no reason"
    return BridgeError(f"the worker refuses: {why}", _sentence(found.get("code"))[:32] or Refusal.MALFORMED)
