"""A board of a worker as a processor: the audio goes over TCP and comes back processed."""

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

from bridge.errors import BridgeError, ProtocolError
from bridge.protocol import (
    MOST_BYTES,
    MOST_CHANNELS,
    MOST_EVENTS,
    MOST_FRAMES,
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
from bridge.wire import Presence, receive, remaining, send
from neural_fx.errors import ParameterError, reason
from neural_fx.inputs import printable
from neural_fx.parameters import Parameter
from neural_fx.processor import Processor, Spec
from neural_fx.values import shown

Audio = NDArray[np.float32]

ALIVE_SECONDS = 1.0
"""A worker that was heard this recently is connected; another one is asked."""
ANSWER_SECONDS = 2.0
"""Time that a worker has to answer whether it is there."""
EVENT_BYTES = 1 << 16
"""Room for events in the largest block; what does not fit goes with the next block."""
MOST_WAITING = 1 << 16
"""MIDI messages that wait for the next block."""
MOST_PROBLEMS = 100
_UNLIMITED = 1e9


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

    Attributes:
        address: host and port of the worker.
        board: its name there.
        token: the worker's.
        timeout: seconds that connecting, or a block on its way there and back, may take in total.
        problems: what the worker reports of this stream, such as events that its board does not know; the newest last.
        reconnects: connections that were lost and tried again.
        round_trips: seconds that the last blocks took.
    """

    def __init__(self, address: str, board: str, token: str = "", timeout: float = 5.0) -> None:
        super().__init__()
        if not (timeout > 0 and math.isfinite(timeout)):
            raise BridgeError(f"timeout {shown(timeout)}: expected seconds above 0")
        self.address, self.board, self.token, self.timeout = _host_and_port(address), board, token, timeout
        self.round_trips: deque[float] = deque(maxlen=4096)
        self.problems: deque[str] = deque(maxlen=MOST_PROBLEMS)
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

    if TYPE_CHECKING:  # the parameters are those of the worker's board, which type checkers cannot know

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __getstate__(self) -> dict[str, Any]:
        """Return the address and the settings; a copy makes a connection of its own."""
        return {**super().__getstate__(), "_socket": None, "_waiting": {}, "round_trips": deque(maxlen=4096)}

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

    @property
    def connected(self) -> bool:
        """Return whether a stream is open and the worker answers.

        A worker that was killed, or that hung up, is seen at once. One that is stopped, or out of reach, is seen within
        `ALIVE_SECONDS` and `ANSWER_SECONDS`: it is asked, and the stream ends if it does not answer. Between streams,
        as after a call with `reset=True`, there is no connection.
        """
        connection = self._socket
        if connection is None or _has_left(connection):
            return False
        if time.monotonic() - self._heard < ALIVE_SECONDS:
            return True
        with self.exclusive():
            return self._socket is not None and self._answers(self._socket)

    def set_parameter(self, name: str, value: object) -> None:
        super().set_parameter(name, value)
        self._chosen[name] = self._values[name]
        self._turn(name)

    def _turn(self, name: str) -> None:
        """Let the next block begin with the value of a parameter as it is set here."""
        place = self._places[name]
        self._waiting.pop(place, None)
        self._waiting[place] = Event(0, place, self._values[name])

    def send(self, message: mido.Message | bytes, offset: int = 0) -> None:
        """Play a MIDI message on the instrument, `offset` frames into the next block; for this stream alone.

        Raises:
            BridgeError: the message is too long, the offset negative, or too many messages wait for audio.
        """
        data = bytes(message) if isinstance(message, bytes) else bytes(message.bytes())
        event = Event(offset, midi=data)
        pack_event(event)
        if len(self._waiting) >= MOST_WAITING + len(self._places):
            raise BridgeError(f"{MOST_WAITING} MIDI messages wait for audio; process some first")
        self._numbers += 1
        self._waiting[self._numbers] = event

    def close(self) -> None:
        """Say goodbye to the worker; the next call connects again."""
        self._spec = None
        self._leave()

    # -- the stream ------------------------------------------------------------------------------------------------

    def prepare(self, spec: Spec) -> None:
        if spec.channels > MOST_CHANNELS:
            raise BridgeError(f"{spec.channels} channels; a worker takes {MOST_CHANNELS} at most")
        self._leave()
        self._greet(spec, time.monotonic() + self.timeout)

    def process_block(self, block: Audio) -> Audio:
        most = self._agreed.buffer_size
        parts = [self._exchange(block[:, at : at + most]) for at in range(0, block.shape[1], most)]
        out = parts[0] if len(parts) == 1 else np.concatenate(parts, 1)
        skipped = min(self._skip, out.shape[1])  # the worker's stream is late by its latency: those are not ours
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
        """Take the events that fit into the next block; parameters may be set by another thread meanwhile."""
        found: dict[object, Event] = {}
        room = EVENT_BYTES
        for key in list(self._waiting)[:MOST_EVENTS]:
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
        """Return the next message, after doing what it asks of any client.

        Raises:
            BridgeError: the worker refuses.
            EOFError: it says goodbye.
        """
        kind, sequence, payload = receive(connection, deadline=deadline)
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
        """Return whether the worker answers a PING; leave it if not."""
        deadline = time.monotonic() + min(self.timeout, ANSWER_SECONDS)
        try:
            send(connection, pack(Kind.PING), remaining(deadline))
            while self._hear(connection, deadline)[0] is not Kind.PONG:
                pass
        except (OSError, EOFError):
            self._leave()
            return False
        return True

    def _greet(self, spec: Spec, deadline: float) -> None:
        """Connect and agree on a stream."""
        most = (MOST_BYTES - EVENT_BYTES) // (4 * spec.channels)
        self._agreed = Spec(spec.sample_rate, spec.channels, min(spec.buffer_size, most, MOST_FRAMES))
        connection = self._dial(deadline)
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
        except (OSError, ValueError, OverflowError) as error:  # also names that cannot be looked up
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
        kind, _, payload = receive(connection, deadline=deadline)
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
        """Take over the latency and the parameters of a WELCOME; values set here before are kept.

        Raises:
            ProtocolError: a field that no worker sends.
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
                continue  # a choice, which has a name for its value
            name = self._free_name(place, table, used)
            table[name], values[name] = _parameter(name, about)
            places[name] = place
        self._latency = self._skip = latency
        self._table, self._places, self._values = table, places, values
        self._choose_again()

    def _free_name(self, place: str, taken: Mapping[str, object], used: Counter[str]) -> str:
        """Return the attribute for an address: ``SLOT_PARAM``, with an end that makes it differ from all others.

        Args:
            place: the address.
            taken: names of other parameters.
            used: how often each name was wanted so far; keeps the search short where very many are the same.
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
        """Set what was set here on the board that the worker has now."""
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


def _host_and_port(address: str) -> tuple[str, int]:
    """Return the parts of ``HOST:PORT``, ``HOST`` or ``[HOST]:PORT``.

    Raises:
        BridgeError: the port is no number from 1 to 65535.
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
    """Return a number of a parameter as a WELCOME has it.

    Raises:
        ProtocolError: not a finite number.
    """
    value = about.get(field, otherwise)
    with contextlib.suppress(OverflowError):
        if _is_number(value) and math.isfinite(value):
            return float(value)
    raise ProtocolError(f"{shown(name)}: {field} {shown(value)} is not a finite number", Refusal.MALFORMED)


def _parameter(name: str, about: Mapping[str, Any]) -> tuple[Parameter, float]:
    """Return a parameter and its value as a WELCOME has them.

    Raises:
        ProtocolError: a number that is not finite, or a range without values.
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
    """Return text of a worker in a form that any terminal can show; "" for anything that is not text."""
    if not isinstance(text, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in printable(shortened(text)))


def _refused(found: dict[str, Any]) -> BridgeError:
    """The error for what a REFUSE says."""
    why = _sentence(found.get("reason")) or "it gives no reason"
    return BridgeError(f"the worker refuses: {why}", _sentence(found.get("code"))[:32] or Refusal.MALFORMED)
