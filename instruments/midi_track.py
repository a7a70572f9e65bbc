"""Read the events of one track of a MIDI file: keep the channel messages, and report what breaks the standard."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from neural_fx.errors import NeuralFXError

MAX_EVENTS = 500_000
"""The most events of a file, with meta events."""

_SYSTEM_DATA = {0xF1: 1, 0xF2: 2, 0xF3: 1}  # data bytes of system messages, which do not belong in files
_PORT = 0x21
_END_OF_TRACK = 0x2F
_TEMPO = 0x51
_KEY_SIGNATURE = 0x59
_META_SIZES = {_TEMPO: 3, 0x54: 5, 0x58: 4, _KEY_SIGNATURE: 2}
_META_NAMES = {_TEMPO: "tempo", 0x54: "SMPTE offset", 0x58: "time signature", _KEY_SIGNATURE: "key signature"}

Event = tuple[int, bytes]
"""The tick of a channel message, and its bytes."""


@dataclass
class Track:
    """One track.

    Attributes:
        events: channel messages.
        tempos: tick and microseconds per beat.
        end: tick of its last event. The end of the track counts as an event.
        size: number of bytes that were read.
        ended: whether there was an end-of-track event.
        count: number of events of all kinds.
        ports: MIDI ports that it is meant for.
        remarks: what is wrong, and how often.
    """

    events: list[Event] = field(default_factory=list)
    tempos: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0
    size: int = 0
    ended: bool = False
    count: int = 0
    ports: set[int] = field(default_factory=set)
    remarks: Counter[str] = field(default_factory=Counter)


class MidiFileError(NeuralFXError, ValueError):
    """A MIDI file that cannot be played. The message states the reason, but does not name the file."""


class _DamageError(Exception):
    """Damage after which the rest of a track cannot be read."""


def read_track(chunk: memoryview, most: int) -> Track:
    """Read the events of a track, up to its end, to damage, or to the end of the data.

    Args:
        chunk: the track's bytes. More bytes may follow the track.
        most: the most events that the file may still have.

    Raises:
        MidiFileError: there are more events.
    """
    track = Track()
    tick = at = status = count = 0
    try:
        while at < len(chunk) and not track.ended:
            delta, at = _variable_length(chunk, at)
            tick += delta
            if chunk[at] < 0x80 and not status:
                track.remarks["data bytes without a status; skipped"] += 1
                while chunk[at] < 0x80:
                    at += 1
            byte = chunk[at]
            if byte >= 0xF0:
                at = _other_event(track, chunk, at, tick)
            else:
                if byte >= 0x80:
                    status = byte
                    at += 1
                at = _channel_message(track, chunk, at, tick, status)
            track.end = tick
            track.size = at
            count += 1
            if count > most:
                raise MidiFileError(f"it has over {MAX_EVENTS} messages, too many for a song")
    except IndexError:  # the data ends inside an event
        pass
    except _DamageError as error:
        track.remarks[f"{error}; the rest of it is left out"] += 1
    track.count = count
    return track


def _variable_length(chunk: memoryview, at: int) -> tuple[int, int]:
    """Read a variable-length number, and return it with the position after it."""
    value = 0
    for i in range(at, at + 4):
        byte = chunk[i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, i + 1
    raise _DamageError("a time or length has over four bytes")


def _channel_message(track: Track, chunk: memoryview, at: int, tick: int, status: int) -> int:
    """Add a channel message to a track.

    Values above 127 are read as 127. A key, controller or program above 127 does not exist, so the message is left out.

    Args:
        track: that the message belongs to.
        chunk: the track's bytes.
        at: position of the message's data.
        tick: of the message.
        status: its status byte.

    Returns:
        The position after the message.
    """
    kind = status & 0xF0
    size = 1 if kind in (0xC0, 0xD0) else 2
    first = chunk[at]
    last = chunk[at + size - 1]
    if first > 127 and kind not in (0xD0, 0xE0):
        track.remarks["a key, controller or program above 127; the message is left out"] += 1
        return at + size
    if first > 127 or last > 127:
        track.remarks["a value above 127; read as 127"] += 1
    data = (min(first, 127), min(last, 127))
    track.events.append((tick, bytes((status, *data[:size]))))
    return at + size


def _other_event(track: Track, chunk: memoryview, at: int, tick: int) -> int:
    """Read a meta, system exclusive or system event, and return the position after it.

    The running status stays valid, as it does in players.
    """
    byte = chunk[at]
    if byte not in (0xFF, 0xF0, 0xF7):
        track.remarks["a system message, which files cannot hold; skipped"] += 1
        return at + 1 + _SYSTEM_DATA.get(byte, 0)
    kind = chunk[at + 1] if byte == 0xFF else -1
    size, at = _variable_length(chunk, at + 2 if byte == 0xFF else at + 1)
    if at + size > len(chunk):
        raise IndexError
    if kind == _END_OF_TRACK:
        track.ended = True
    elif kind in (*_META_SIZES, _PORT):
        _meta(track, kind, bytes(chunk[at : at + size]), tick)
    return at + size


def _meta(track: Track, kind: int, data: bytes, tick: int) -> None:
    """Apply a meta event, or add a remark if it is wrong."""
    if kind == _PORT:
        track.ports.update(data[:1])
    elif len(data) != _META_SIZES[kind]:
        track.remarks[f"a {_META_NAMES[kind]} of the wrong size; skipped"] += 1
    elif kind == _TEMPO:
        tempo = int.from_bytes(data, "big")
        if tempo:
            track.tempos.append((tick, tempo))
        else:
            track.remarks["a tempo of 0 microseconds per beat; skipped"] += 1
    elif kind == _KEY_SIGNATURE and not (int.from_bytes(data[:1], signed=True) in range(-7, 8) and data[1] < 2):
        track.remarks["an impossible key signature; skipped"] += 1
