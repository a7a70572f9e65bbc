"""OSC packets from bytes and back (python-osc), bounded, and the two ways they are framed over TCP."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pythonosc.osc_message_builder import ArgValue, OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from bridge.errors import ProtocolError
from neural_fx.errors import reason

MOST_BYTES = 65536
MOST_MESSAGES = 4096


@dataclass(frozen=True)
class Message:
    """One message: where to, with what, and when (as `time.time` tells it; 0: at once)."""

    address: str
    arguments: tuple[Any, ...]
    when: float = 0.0


def decode(data: bytes) -> list[Message]:
    """The messages of a packet, bundles unfolded.

    Raises:
        ProtocolError: it is malformed, nested too deeply, or has too many messages.
    """
    try:
        timed = OscPacket(data).messages
        found = [Message(t.message.address, tuple(t.message.params), _due(t.time)) for t in timed]
    except RecursionError:
        raise ProtocolError("an OSC packet is nested too deeply") from None
    except Exception as error:  # python-osc lets UnicodeDecodeError, struct.error and others through
        raise ProtocolError(f"not an OSC packet: {reason(error)[:100]}") from None
    if len(found) > MOST_MESSAGES:
        raise ProtocolError(f"an OSC packet of {len(found)} messages; {MOST_MESSAGES} at most")
    return found


def _due(when: float) -> float:
    return when if when > time.time() + 0.001 else 0.0


def encode(address: str, *arguments: ArgValue) -> bytes:
    """A message as a packet."""
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)
    return bytes(builder.build().dgram)


END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD


def slip(packet: bytes) -> bytes:
    """A packet in SLIP (RFC 1055), END at both sides, as OSC 1.1 wants it."""
    body = packet.replace(bytes([ESC]), bytes([ESC, ESC_ESC])).replace(bytes([END]), bytes([ESC, ESC_END]))
    return bytes([END]) + body + bytes([END])


def sized(packet: bytes) -> bytes:
    """A packet after its size, as OSC 1.0 wants it."""
    return struct.pack(">i", len(packet)) + packet


class Framing:
    """Cuts a TCP stream into packets; SLIP or sizes, by how it begins.

    Attributes:
        is_slip: None before the first byte.
    """

    def __init__(self) -> None:
        self.is_slip: bool | None = None
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The packets that these bytes complete.

        Raises:
            ProtocolError: a packet is larger than `MOST_BYTES`.
        """
        self._held += data
        if self.is_slip is None and self._held:
            self.is_slip = self._held[0] in (END, ord("/"), ord("#"))
        yield from self._slips() if self.is_slip else self._sizes()

    def frame(self, packet: bytes) -> bytes:
        """A packet to send back in the same way."""
        return slip(packet) if self.is_slip else sized(packet)

    def _sizes(self) -> Iterator[bytes]:
        while len(self._held) >= 4:
            size = int.from_bytes(self._held[:4], "big")
            if size > MOST_BYTES:
                raise ProtocolError(f"an OSC packet of {size} bytes; {MOST_BYTES} at most")
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
        if len(self._held) > 2 * MOST_BYTES:
            raise ProtocolError(f"an OSC packet of over {MOST_BYTES} bytes")
