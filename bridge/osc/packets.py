"""Decode and encode OSC packets within limits, and frame them over TCP in both ways. python-osc does the encoding."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pythonosc.osc_message_builder import ArgValue, OscMessageBuilder

from bridge import limits
from bridge.errors import ProtocolError
from bridge.security import clean
from neural_fx.errors import reason
from neural_fx.inputs import printable

_BUNDLE = b"#bundle\0"
_NOW = 1
_NTP_EPOCH = 2208988800.0
_NUMBERS = {"i": ">i", "h": ">q", "f": ">f", "d": ">d"}
_CONSTANTS = {"T": True, "F": False, "N": None, "I": math.inf}


@dataclass(frozen=True)
class Message:
    """An OSC message.

    Attributes:
        address: the OSC address.
        arguments: values of its arguments.
        when: Unix time in seconds at which it is due; 0 for at once.
    """

    address: str
    arguments: tuple[Any, ...]
    when: float = 0.0


def decode(data: bytes) -> list[Message]:
    """Return the messages of a packet and of the bundles in it, ordered by time.

    Raises:
        ProtocolError: the packet is malformed, nested too deeply, or has too many messages.
    """
    found: list[Message] = []
    try:
        _unfold(memoryview(data), 0.0, 0, found)
    except ProtocolError:
        raise
    except (ValueError, IndexError, struct.error) as error:  # too short, or text that is not UTF-8
        raise ProtocolError(f"not an OSC packet: {clean(reason(error), 100)}") from None
    return sorted(found, key=lambda message: message.when)


def too_far(message: Message) -> str:
    """Return a sentence if the time tag of a message is too far ahead; empty if it is not."""
    ahead = message.when - time.time()
    if message.when and not ahead <= limits.OSC_HORIZON_SECONDS:
        return f"the time tag is {ahead:.0f} s ahead; {limits.OSC_HORIZON_SECONDS:.0f} s at most"
    return ""


def _unfold(data: memoryview, when: float, depth: int, found: list[Message]) -> None:
    """Add the messages of a packet, or of an element of a bundle, to a list.

    Args:
        data: the packet or element.
        when: Unix time of the bundle around it; 0 for at once.
        depth: number of bundles around it.
        found: the list.
    """
    if bytes(data[:8]) == _BUNDLE:
        if depth >= limits.OSC_DEPTH:
            raise ProtocolError(f"an OSC packet is nested too deeply: {limits.OSC_DEPTH} bundles at most")
        (tag,) = struct.unpack_from(">Q", data, 8)
        when, at, count = _due(tag), 16, 0
        while at < len(data):
            (size,) = struct.unpack_from(">i", data, at)
            at, count = at + 4, count + 1
            if size <= 0 or size > len(data) - at:
                raise ProtocolError(f"not an OSC packet: a bundle's element of {size} bytes, {len(data) - at} are left")
            if count > limits.OSC_MESSAGES:
                raise ProtocolError(f"an OSC bundle of over {limits.OSC_MESSAGES} elements")
            _unfold(data[at : at + size], when, depth + 1, found)
            at += size
        return
    if len(found) >= limits.OSC_MESSAGES:
        raise ProtocolError(f"an OSC packet of over {limits.OSC_MESSAGES} messages")
    found.append(_message(bytes(data), when))


def _due(tag: int) -> float:
    """Return the Unix time of a time tag; 0 if it is now or in the past."""
    when = tag / 2**32 - _NTP_EPOCH
    return when if tag != _NOW and when > time.time() + 0.001 else 0.0


def _message(data: bytes, when: float) -> Message:
    if not data.startswith(b"/"):
        raise ProtocolError("not an OSC packet: expected an address that begins with /, or #bundle")
    address, at = _string(data, 0)
    if at >= len(data):  # old senders omit the type tags if there are no arguments
        return Message(address, (), when)
    tags, at = _string(data, at)
    if not tags.startswith(",") or len(tags) > limits.OSC_ARGUMENTS:
        raise ProtocolError(f"not an OSC packet: expected type tags after a comma, {limits.OSC_ARGUMENTS} at most")
    levels: list[list[Any]] = [[]]
    for tag in tags[1:]:
        if tag == "[" and len(levels) <= limits.OSC_DEPTH:
            levels.append([])
        elif tag == "]" and len(levels) > 1:
            array = levels.pop()
            levels[-1].append(array)
        else:
            value, at = _argument(tag, data, at)
            levels[-1].append(value)
    if len(levels) != 1:
        raise ProtocolError("not an OSC packet: an array does not end")
    return Message(address, tuple(levels[0]), when)


def _argument(tag: str, data: bytes, at: int) -> tuple[Any, int]:
    """Return an argument and the index of the next one.

    Args:
        tag: type tag of the argument.
        data: the packet.
        at: index of the argument.
    """
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], at
    if tag in _NUMBERS:
        if tag == "f":  # Reaktor leaves out zero bytes at the end
            data += bytes(max(0, min(3, at + 4 - len(data))))
        layout = struct.Struct(_NUMBERS[tag])
        return layout.unpack_from(data, at)[0], at + layout.size
    if tag in "sS":
        return _string(data, at)
    if tag == "b":
        (size,) = struct.unpack_from(">i", data, at)
        if not 0 <= size <= len(data) - at - 4:
            raise ProtocolError(f"not an OSC packet: a blob of {size} bytes")
        return data[at + 4 : at + 4 + size], at + 4 + size + -size % 4
    if tag in "crm":  # a character, a colour, a MIDI message
        return struct.unpack_from(">4s", data, at)[0], at + 4
    if tag == "t":
        return struct.unpack_from(">Q", data, at)[0], at + 8
    raise ProtocolError(f"not an OSC packet: unknown type tag {clean(tag)!r}")


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 4 - (end - at) % 4


def encode(address: str, *arguments: ArgValue) -> bytes:
    """Encode a message. Characters that OSC cannot carry, such as a zero, are escaped.

    Args:
        address: the OSC address.
        arguments: values of its arguments.
    """
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(printable(argument).replace("\0", "\\0") if isinstance(argument, str) else argument)
    return bytes(builder.build().dgram)


END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD


def slip(packet: bytes) -> bytes:
    """Frame a packet with SLIP (RFC 1055). As in OSC 1.1, END is at both sides."""
    body = packet.replace(bytes([ESC]), bytes([ESC, ESC_ESC])).replace(bytes([END]), bytes([ESC, ESC_END]))
    return bytes([END]) + body + bytes([END])


def sized(packet: bytes) -> bytes:
    """Frame a packet by its size in 4 bytes, as in OSC 1.0."""
    return struct.pack(">i", len(packet)) + packet


class Framing:
    """Cut a TCP stream into packets. The first byte decides between SLIP and sizes.

    Attributes:
        is_slip: whether the stream uses SLIP; None before the first byte.
    """

    def __init__(self) -> None:
        self.is_slip: bool | None = None
        self._held = bytearray()

    @property
    def pending(self) -> bool:
        """Whether a packet has begun and is not complete."""
        return bool(self._held)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the packets that the next bytes of the stream complete.

        Raises:
            ProtocolError: a packet is larger than `limits.OSC_PACKET_BYTES`.
        """
        self._held += data
        if self.is_slip is None and self._held:
            self.is_slip = self._held[0] in (END, ord("/"), ord("#"))
        yield from self._slips() if self.is_slip else self._sizes()

    def frame(self, packet: bytes) -> bytes:
        """Frame a packet in the same way as the stream."""
        return slip(packet) if self.is_slip else sized(packet)

    def _sizes(self) -> Iterator[bytes]:
        while len(self._held) >= 4:
            size = int.from_bytes(self._held[:4], "big")
            if size > limits.OSC_PACKET_BYTES:
                raise ProtocolError(f"an OSC packet of {size} bytes; {limits.OSC_PACKET_BYTES} at most")
            if len(self._held) < 4 + size:
                return
            packet = bytes(self._held[4 : 4 + size])
            del self._held[: 4 + size]
            if packet:
                yield packet

    def _slips(self) -> Iterator[bytes]:
        while (end := self._held.find(END)) >= 0:
            body = bytes(self._held[:end])
            del self._held[: end + 1]
            if body:
                yield body.replace(bytes([ESC, ESC_END]), bytes([END])).replace(bytes([ESC, ESC_ESC]), bytes([ESC]))
        if len(self._held) > 2 * limits.OSC_PACKET_BYTES:
            raise ProtocolError(f"an OSC packet of over {limits.OSC_PACKET_BYTES} bytes")
