"""The streaming protocol as pure functions of bytes; `bridge/PROTOCOL.md` says it in prose.

A message is a header of 16 bytes (kind, three reserved bytes, payload length, sequence number; little-endian) and a
payload: JSON for the handshake, float32 samples with events for audio.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.errors import ProtocolError

Audio = NDArray[np.float32]

VERSION = 1
PORT = 9010
HEADER = struct.Struct("<BxxxIQ")
MOST_CHANNELS = 64
MOST_FRAMES = 1 << 16
MOST_EVENTS = 4096
MOST_JSON = 1 << 16
MOST_BYTES = 4 * 1024 * 1024
"""Largest payload of any message."""


class Kind(IntEnum):
    """What a message is."""

    HELLO = 1  # client: JSON, what it wants
    WELCOME = 2  # worker: JSON, what it gets
    REFUSE = 3  # worker: JSON {code, reason}; the connection ends
    BLOCK = 4  # client: events and audio
    AUDIO = 5  # worker: the audio of the BLOCK with the same sequence number
    RESET = 6  # client: forget the stream; answered by RESET
    PING = 7  # either: answered by PONG with the same sequence number and payload
    PONG = 8
    NOTICE = 9  # worker: JSON, something changed (latency, an error of the board)
    BYE = 10  # either: the connection ends in peace


class Refusal:
    """Codes of a REFUSE."""

    VERSION = "version"
    TOKEN = "token"
    BOARD = "board"
    FORMAT = "format"
    BUSY = "busy"
    MALFORMED = "malformed"


@dataclass(frozen=True)
class Hello:
    """What a client asks for.

    Attributes:
        board: name of the board.
        sample_rate: Hz.
        channels: of the audio, both ways.
        block: largest number of frames in a BLOCK.
        token: the worker's, if it wants one.
        text: the YAML of a board file, for a worker that has no board of that name; "" for none.
        notes: with no name for the board: whether the first one that takes notes is meant, or the first that does not.
    """

    board: str
    sample_rate: float
    channels: int
    block: int
    token: str = ""
    text: str = ""
    notes: bool = False
    version: int = VERSION

    def check(self) -> None:
        """Raise ProtocolError for values that no worker takes."""
        if not (1000 <= self.sample_rate <= 768000 and math.isfinite(self.sample_rate)):
            raise ProtocolError(f"sample_rate {self.sample_rate!r} is not between 1000 and 768000 Hz", Refusal.FORMAT)
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise ProtocolError(f"channels {self.channels!r}: 1 to {MOST_CHANNELS}", Refusal.FORMAT)
        if not 1 <= self.block <= MOST_FRAMES:
            raise ProtocolError(f"block {self.block!r}: 1 to {MOST_FRAMES} frames", Refusal.FORMAT)


@dataclass(frozen=True)
class Event:
    """Something that happens `offset` frames into a block.

    Attributes:
        address: ``SLOT/PARAM`` for a parameter, empty for MIDI.
        value: of the parameter, in its own unit.
        midi: one MIDI message, for instruments.
    """

    offset: int
    address: str = ""
    value: float = 0.0
    midi: bytes = b""


def pack(kind: Kind, payload: bytes = b"", sequence: int = 0) -> bytes:
    """A whole message."""
    return HEADER.pack(kind, len(payload), sequence) + payload


def unpack_header(header: bytes) -> tuple[Kind, int, int]:
    """Kind, payload length and sequence number.

    Raises:
        ProtocolError: an unknown kind, or a payload beyond `MOST_BYTES`.
    """
    number, length, sequence = HEADER.unpack(header)
    try:
        kind = Kind(number)
    except ValueError:
        raise ProtocolError(f"unknown kind of message: {number}", Refusal.MALFORMED) from None
    if length > (MOST_JSON if kind in _JSON else MOST_BYTES):
        raise ProtocolError(f"a payload of {length} bytes is too long for {kind.name}", Refusal.MALFORMED)
    return kind, length, sequence


_JSON = (Kind.HELLO, Kind.WELCOME, Kind.REFUSE, Kind.NOTICE, Kind.PING, Kind.PONG, Kind.RESET, Kind.BYE)


def pack_json(kind: Kind, value: Mapping[str, Any], sequence: int = 0) -> bytes:
    """A message with a JSON payload."""
    return pack(kind, json.dumps(value).encode(), sequence)


def unpack_json(payload: bytes) -> dict[str, Any]:
    """A JSON payload.

    Raises:
        ProtocolError: not a JSON object.
    """
    try:
        value = json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ProtocolError("a payload is not JSON", Refusal.MALFORMED) from None
    if not isinstance(value, dict):
        raise ProtocolError("a payload is no JSON object", Refusal.MALFORMED)
    return value


def unpack_hello(payload: bytes) -> Hello:
    """A client's wishes.

    Raises:
        ProtocolError: a field is missing, of the wrong type or out of range; its `code` is the refusal's.
    """
    found = unpack_json(payload)
    version = found.get("version")
    if version != VERSION:
        raise ProtocolError(f"version {version!r}; this worker speaks {VERSION}", Refusal.VERSION)
    kinds: dict[str, Any] = {"board": str, "sample_rate": (int, float), "channels": int, "block": int}
    optional: dict[str, Any] = {"token": str, "text": str, "notes": bool}
    values = {name: found[name] for name in (*kinds, *optional) if name in found}
    for name, kind in (kinds | optional).items():
        if name not in values and name in optional:
            continue
        if name not in values or not isinstance(values[name], kind) or isinstance(values[name], bool) != (kind is bool):
            raise ProtocolError(f"HELLO: {name} is missing or of the wrong type", Refusal.MALFORMED)
    hello = Hello(**values)
    hello.check()
    return hello


# -- audio -------------------------------------------------------------------------------------------------------

_COUNTS = struct.Struct("<IHH")  # frames, channels, events
_EVENT = struct.Struct("<IdHH")  # offset, value, bytes of address, bytes of MIDI


def pack_audio(audio: Audio, events: Sequence[Event] = ()) -> bytes:
    """(channels, frames) and events as the payload of a BLOCK or AUDIO."""
    parts = [_COUNTS.pack(audio.shape[1], audio.shape[0], len(events))]
    for event in events:
        address = event.address.encode()
        parts += [_EVENT.pack(event.offset, event.value, len(address), len(event.midi)), address, event.midi]
    parts.append(np.ascontiguousarray(audio, "<f4").tobytes())
    return b"".join(parts)


def unpack_audio(payload: bytes | memoryview) -> tuple[Audio, list[Event]]:
    """(channels, frames) and the events of a BLOCK or AUDIO.

    Raises:
        ProtocolError: sizes that contradict each other, too many of anything, or samples that are not finite.
    """
    try:
        frames, channels, count = _COUNTS.unpack_from(payload)
        if channels > MOST_CHANNELS or frames > MOST_FRAMES or count > MOST_EVENTS:
            raise ProtocolError("a block has too many channels, frames or events", Refusal.MALFORMED)
        at, events = _COUNTS.size, []
        for _ in range(count):
            offset, value, name, midi = _EVENT.unpack_from(payload, at)
            at += _EVENT.size
            address = bytes(payload[at : at + name]).decode("utf-8")
            events.append(Event(min(offset, frames), address, value, bytes(payload[at + name : at + name + midi])))
            at += name + midi
        if len(payload) - at != 4 * frames * channels:
            raise ProtocolError(f"a block of {channels} x {frames} samples has the wrong size", Refusal.MALFORMED)
        audio = np.frombuffer(payload, "<f4", offset=at).reshape(channels, frames)
    except (struct.error, UnicodeDecodeError):
        raise ProtocolError("a block is cut short", Refusal.MALFORMED) from None
    if not np.isfinite(audio).all():
        raise ProtocolError("a block holds NaN or infinite samples", Refusal.MALFORMED)
    return audio, events
