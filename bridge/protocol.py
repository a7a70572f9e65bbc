"""Encode and decode messages of the streaming protocol. `bridge/PROTOCOL.md` describes it.

A message is a header of 16 bytes and a payload. The header has the kind, three reserved bytes, the payload length and
the sequence number, in little-endian order. The payload is JSON for the handshake, and events with float32 samples for
audio.
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

from bridge import limits
from bridge.errors import ProtocolError
from neural_fx.arrays import Audio
from neural_fx.values import shown

VERSION = 1
PORT = 9010
HEADER = struct.Struct("<BxxxIQ")


class Kind(IntEnum):
    """Kinds of messages."""

    HELLO = 1  # client: JSON, the stream that it asks for
    WELCOME = 2  # worker: JSON, the stream that it opens
    REFUSE = 3  # worker: JSON {code, reason}; the connection ends
    BLOCK = 4  # client: events and audio
    AUDIO = 5  # worker: the audio of the BLOCK with the same sequence number
    RESET = 6  # client: forget the stream; answered by RESET
    PING = 7  # either: answered by PONG with the same sequence number and payload
    PONG = 8
    NOTICE = 9  # worker: JSON, something changed (latency) or went wrong (a problem)
    BYE = 10  # either side ends the connection


class Refusal:
    """Codes of a REFUSE."""

    VERSION = "version"
    TOKEN = "token"
    BOARD = "board"
    FORMAT = "format"
    BUSY = "busy"
    MALFORMED = "malformed"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Hello:
    """A client's request for a stream.

    Attributes:
        board: name of the board.
        sample_rate: Hz.
        channels: number of channels in both directions.
        block: largest number of frames in a BLOCK.
        token: token of the worker, if it needs one.
        text: YAML of a board file, for a worker without a board of that name; empty for none.
        notes: used if `board` is empty. True for the first board that takes notes, False for the first that does not.
        version: version of the protocol.
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
        """Check the ranges of the values.

        Raises:
            ProtocolError: a value is out of range.
        """
        if not (1000 <= self.sample_rate <= 768000 and math.isfinite(self.sample_rate)):
            raise ProtocolError(
                f"sample_rate {shown(self.sample_rate)} is not between 1000 and 768000 Hz", Refusal.FORMAT
            )
        if not 1 <= self.channels <= limits.PROTOCOL_CHANNELS:
            raise ProtocolError(f"channels {shown(self.channels)}: 1 to {limits.PROTOCOL_CHANNELS}", Refusal.FORMAT)
        if not 1 <= self.block <= limits.PROTOCOL_FRAMES:
            raise ProtocolError(f"block {shown(self.block)}: 1 to {limits.PROTOCOL_FRAMES} frames", Refusal.FORMAT)


@dataclass(frozen=True)
class Event:
    """A parameter change or a MIDI message in a block.

    Attributes:
        offset: frames into the block.
        address: ``SLOT/PARAM`` for a parameter; empty for MIDI.
        value: value of the parameter, in its own unit.
        midi: one MIDI message, for instruments.
    """

    offset: int
    address: str = ""
    value: float = 0.0
    midi: bytes = b""


def limit(kind: Kind) -> int:
    """Return the largest payload of a kind of message, in bytes."""
    if kind in (Kind.WELCOME, Kind.BLOCK, Kind.AUDIO):
        return limits.PROTOCOL_MESSAGE_BYTES
    return limits.PROTOCOL_JSON_BYTES


def pack(kind: Kind, payload: bytes = b"", sequence: int = 0) -> bytes:
    """Encode a message.

    Args:
        kind: kind of the message.
        payload: its payload.
        sequence: its sequence number.

    Raises:
        ProtocolError: the payload is longer than its `limit`.
    """
    if len(payload) > limit(kind):
        raise ProtocolError(f"a payload of {len(payload)} bytes is too long for {kind.name}", Refusal.MALFORMED)
    return HEADER.pack(kind, len(payload), sequence) + payload


def unpack_header(header: bytes) -> tuple[Kind, int, int]:
    """Decode a header.

    Returns:
        Kind, payload length in bytes and sequence number.

    Raises:
        ProtocolError: the kind is unknown, or the payload is longer than its `limit`.
    """
    number, length, sequence = HEADER.unpack(header)
    try:
        kind = Kind(number)
    except ValueError:
        raise ProtocolError(f"unknown kind of message: {number}", Refusal.MALFORMED) from None
    if length > limit(kind):
        raise ProtocolError(f"a payload of {length} bytes is too long for {kind.name}", Refusal.MALFORMED)
    return kind, length, sequence


def encode_json(value: Mapping[str, Any]) -> bytes:
    """Encode a JSON payload in ASCII.

    Raises:
        ProtocolError: the value has NaN, an infinity, or a type that JSON does not have.
    """
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"a payload cannot be written as JSON: {error}", Refusal.INTERNAL) from None


def pack_json(kind: Kind, value: Mapping[str, Any], sequence: int = 0) -> bytes:
    """Encode a message with a JSON payload.

    Args:
        kind: kind of the message.
        value: the JSON object.
        sequence: sequence number of the message.

    Raises:
        ProtocolError: the value is not JSON, or is too long.
    """
    return pack(kind, encode_json(value), sequence)


def pack_reason(kind: Kind, sentence: str, **more: object) -> bytes:
    """Encode a REFUSE or a NOTICE of a problem.

    Args:
        kind: REFUSE or NOTICE.
        sentence: the problem, for people. It is cut at `limits.PROTOCOL_REASON_CHARACTERS` characters.
        more: further fields, such as the `code` of a REFUSE.
    """
    name = "reason" if kind is Kind.REFUSE else "problem"
    return pack_json(kind, {**more, name: shortened(sentence)})


def shortened(sentence: str, most: int = limits.PROTOCOL_REASON_CHARACTERS) -> str:
    """Return a sentence, cut at a number of characters."""
    return sentence if len(sentence) <= most else sentence[: most - 3] + "..."


def unpack_json(payload: bytes) -> dict[str, Any]:
    """Decode a JSON payload.

    Raises:
        ProtocolError: the payload is not a JSON object, or it has NaN or infinities.
    """
    try:
        value = json.loads(payload.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ProtocolError("a payload is not JSON", Refusal.MALFORMED) from None
    if not isinstance(value, dict):
        raise ProtocolError("a payload is not a JSON object", Refusal.MALFORMED)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def unpack_latency(found: Mapping[str, Any]) -> int:
    """Return the `latency` of a WELCOME, RESET or NOTICE, in samples.

    Raises:
        ProtocolError: it is missing, or is not a number from 0 to `limits.PROTOCOL_LATENCY_SAMPLES`.
    """
    value = found.get("latency")
    most = limits.PROTOCOL_LATENCY_SAMPLES
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise ProtocolError(f"latency {shown(value)}: expected 0 to {most} samples", Refusal.MALFORMED)
    return int(value)


def unpack_hello(payload: bytes) -> Hello:
    """Decode a HELLO.

    Raises:
        ProtocolError: a field is missing, of the wrong type or out of range. Its `code` is that of the REFUSE to send.
    """
    found = unpack_json(payload)
    version = found.get("version")
    if version != VERSION:
        raise ProtocolError(f"version {shown(version)}; this worker speaks {VERSION}", Refusal.VERSION)
    kinds: dict[str, Any] = {"board": str, "sample_rate": (int, float), "channels": int, "block": int}
    optional: dict[str, Any] = {"token": str, "text": str, "notes": bool}
    values = {name: found[name] for name in (*kinds, *optional) if name in found}
    for name, kind in (kinds | optional).items():
        if name not in values and name in optional:
            continue
        if name not in values or not isinstance(values[name], kind) or isinstance(values[name], bool) != (kind is bool):
            raise ProtocolError(f"HELLO: {name} is missing or of the wrong type", Refusal.MALFORMED)
    for name, value in values.items():
        if isinstance(value, str) and not value.isascii() and not _encodable(value):
            raise ProtocolError(f"HELLO: {name} is not Unicode text", Refusal.MALFORMED)
    hello = Hello(**values)
    hello.check()
    return hello


def _encodable(text: str) -> bool:
    """Return whether text can be written as UTF-8. Halves of surrogate pairs, which JSON allows, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# -- audio -------------------------------------------------------------------------------------------------------

_COUNTS = struct.Struct("<IHH")  # frames, channels, events
_EVENT = struct.Struct("<IdHH")  # offset, value, bytes of address, bytes of MIDI


def pack_audio(audio: Audio, events: Sequence[Event] = ()) -> bytes:
    """Encode the payload of a BLOCK or AUDIO.

    Args:
        audio: (channels, frames).
        events: events of a BLOCK.

    Raises:
        ProtocolError: there are too many channels, frames or events, or an event cannot be encoded.
    """
    channels, frames = audio.shape
    _check_sizes(channels, frames, len(events))
    parts = [_COUNTS.pack(frames, channels, len(events))]
    parts += [pack_event(event) for event in events]
    parts.append(np.ascontiguousarray(audio, "<f4").tobytes())
    return b"".join(parts)


def _check_sizes(channels: int, frames: int, events: int) -> None:
    """Check the sizes of a block.

    Raises:
        ProtocolError: there are too many channels, frames or events.
    """
    if channels > limits.PROTOCOL_CHANNELS or frames > limits.PROTOCOL_FRAMES or events > limits.PROTOCOL_EVENTS:
        raise ProtocolError("a block has too many channels, frames or events", Refusal.MALFORMED)


def pack_event(event: Event) -> bytes:
    """Encode an event of a BLOCK.

    Raises:
        ProtocolError: a field is too long or out of range.
    """
    try:
        address = event.address.encode()
        return _EVENT.pack(event.offset, event.value, len(address), len(event.midi)) + address + event.midi
    except (struct.error, OverflowError, UnicodeEncodeError) as error:
        raise ProtocolError(f"an event of a block cannot be sent: {error}", Refusal.MALFORMED) from None


def unpack_audio(payload: bytes | memoryview) -> tuple[Audio, list[Event]]:
    """Decode the payload of a BLOCK or AUDIO.

    Returns:
        Audio of shape (channels, frames), and the events.

    Raises:
        ProtocolError: sizes do not fit together or are too large, or samples are not finite.
    """
    try:
        frames, channels, count = _COUNTS.unpack_from(payload)
        _check_sizes(channels, frames, count)
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
