"""Read Standard MIDI Files leniently: keep what can be played, and report what breaks the standard.

mido's reader stops at the first byte that breaks the standard. It also refuses unknown chunks, which are legal, and
reads SMPTE time as a negative number of ticks. symusic refuses SMPTE time and impossible values. It also loses the
notes of tracks with escaped system exclusive data. So this module reads chunks and events itself, into mido's messages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from instruments.midi_track import MAX_EVENTS, Event, MidiFileError, Track, read_track

MAX_TRACKS = 65535
MAX_LEADING = 4096
"""Bytes that are searched for the header. Some programs write a few hundred bytes before it."""
DEFAULT_TEMPO = 500_000
"""Microseconds per beat until a file sets a tempo."""

_HEADER = 14
_SMPTE_RATES = {24: 24.0, 25: 25.0, 29: 30000 / 1001, 30: 30.0}


@dataclass(frozen=True)
class MidiData:
    """Content of a MIDI file.

    Attributes:
        events: channel messages of all tracks in playing order. At one tick they are in the order of the tracks.
        clock: converts ticks to seconds.
        end: tick of the last event. The end of a track counts as an event.
        remarks: sentences about what is wrong with the file.
    """

    events: list[Event]
    clock: Clock
    end: int
    remarks: tuple[str, ...]


class Clock:
    """Converts ticks to seconds.

    Args:
        seconds_per_tick: for SMPTE time. If None, tempos apply.
        ticks_per_beat: without SMPTE time.
        tempos: (tick, microseconds per beat) in any order. Of several at one tick the last counts.
    """

    def __init__(
        self, seconds_per_tick: float | None, ticks_per_beat: int = 0, tempos: list[tuple[int, int]] | None = None
    ) -> None:
        first = seconds_per_tick or DEFAULT_TEMPO * 1e-6 / ticks_per_beat
        self._ticks = [0]
        self._seconds = [0.0]
        self._rates = [first]
        for tick, tempo in sorted(tempos or [], key=itemgetter(0)):
            if seconds_per_tick is None:
                now = self.seconds(tick)
                self._ticks.append(tick)
                self._seconds.append(now)
                self._rates.append(tempo * 1e-6 / ticks_per_beat)

    def seconds(self, tick: int) -> float:
        """Return the time of a tick in seconds."""
        i = bisect_right(self._ticks, tick) - 1
        return self._seconds[i] + (tick - self._ticks[i]) * self._rates[i]


def parse_midi(data: bytes) -> MidiData:
    """Read a MIDI file.

    Args:
        data: the whole file. It may be wrapped in RIFF (``.rmi``).

    Returns:
        What can be played, and remarks on the rest.

    Raises:
        MidiFileError: not a MIDI file, or one that cannot be played as one song. The message states the reason.
    """
    if not data:
        raise MidiFileError("the file is empty")
    data = _unwrapped(data)
    start = data.find(b"MThd", 0, MAX_LEADING)
    if start < 0:
        raise MidiFileError(f"not a MIDI file: it begins with {data[:4]!r}, expected b'MThd'")
    if len(data) < start + _HEADER:
        raise MidiFileError("not a readable MIDI file: it ends inside its header")
    remarks = [f"{start} bytes before the header were skipped"] if start else []
    file_format = int.from_bytes(data[start + 8 : start + 10], "big")
    if file_format == 2:
        raise MidiFileError("it holds independent patterns (format 2), not one song; save it as format 0 or 1")
    if file_format > 2:
        remarks.append(f"the header says format {file_format}; read as format 1")
    seconds_per_tick, ticks_per_beat = _division(int.from_bytes(data[start + 12 : start + 14], "big"), remarks)
    tracks = list(_tracks(data, _after_header(data, start), remarks))
    _compare_counts(file_format, int.from_bytes(data[start + 10 : start + 12], "big"), len(tracks), remarks)
    events = [event for track in tracks for event in track.events]
    events.sort(key=itemgetter(0))
    tempos = [tempo for track in tracks for tempo in track.tempos]
    if len({port for track in tracks for port in track.ports}) > 1:
        remarks.append("it is meant for several MIDI ports; channels of the same number are played together")
    end = max((track.end for track in tracks), default=0)
    clock = Clock(seconds_per_tick, ticks_per_beat, tempos)
    return MidiData(events, clock, end, (*remarks, *_track_remarks(tracks)))


def _unwrapped(data: bytes) -> bytes:
    """Return the MIDI file inside a RIFF file. Other data are returned unchanged."""
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return data


def _after_header(data: bytes, start: int) -> int:
    """Return the position of the first chunk. A header may be longer than usual, but not longer than the file."""
    end = start + 8 + int.from_bytes(data[start + 4 : start + 8], "big")
    return end if start + _HEADER <= end <= len(data) else start + _HEADER


def _division(value: int, remarks: list[str]) -> tuple[float | None, int]:
    """Return (seconds per tick, 0) for SMPTE time, else (None, ticks per beat)."""
    if value & 0x8000 == 0:
        if value == 0:
            raise MidiFileError("the header says 0 ticks per beat, so nothing has a time; expected 1 to 32767")
        return None, value
    frames, ticks = 256 - (value >> 8), value & 0xFF
    if ticks == 0:
        raise MidiFileError("the header says 0 ticks per SMPTE frame, so nothing has a time; expected 1 to 255")
    if frames not in _SMPTE_RATES:
        remarks.append(f"the header says {frames} SMPTE frames per second; the standard has 24, 25, 29.97 and 30")
    return 1 / (_SMPTE_RATES.get(frames, float(frames)) * ticks), 0


def _compare_counts(file_format: int, declared: int, found: int, remarks: list[str]) -> None:
    """Add a remark if the number of tracks differs from that in the header.

    Raises:
        MidiFileError: there are no tracks.
    """
    if found == 0:
        raise MidiFileError(f"not a readable MIDI file: the header says {_tracks_in_words(declared)}, found none")
    if declared != found:
        remarks.append(f"the header says {_tracks_in_words(declared)}, found {found}")
    elif file_format == 0 and found > 1:
        remarks.append(f"the header says format 0 (one track), found {found}; they are played together")


def _tracks_in_words(count: int) -> str:
    return f"{count} track{'s' * (count != 1)}"


# -- chunks ------------------------------------------------------------------------------------------------------


def _tracks(data: bytes, at: int, remarks: list[str]) -> Iterator[Track]:
    """Read the tracks, and skip chunks of other kinds."""
    count = events = 0
    stray = False
    while at < len(data):
        name = data[at : at + 4]
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        if name == b"MThd":
            remarks.append("another MIDI file follows the first one; only the first is played")
            return
        if name == b"MTrk":
            track = _sized_track(data, at + 8, end, MAX_EVENTS - events)
            at = at + 8 + track.size
            count += 1
            events += track.count
            if count > MAX_TRACKS:
                raise MidiFileError(f"it has over {MAX_TRACKS} tracks")
            yield track
        elif _is_chunk(name) and end <= len(data):
            at = end
        else:
            found = data.find(b"MTrk", at)
            rest = data[at : found if found > 0 else len(data)]
            if rest.strip(b"\0") and not stray:
                remarks.append(f"bytes that belong to no chunk, from byte {at} on; skipped")
                stray = True
            at += len(rest)


def _is_chunk(name: bytes) -> bool:
    """Return whether four bytes can be the name of a chunk."""
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _sized_track(data: bytes, start: int, end: int, most: int) -> Track:
    """Read a track whose declared end may be wrong. Its `size` leads to the next chunk.

    The declared end is trusted if another chunk, or nothing, follows it. Otherwise the track may extend to the next
    track, or to the end of the file. In both cases an end-of-track event ends it, if another track or the declared end
    comes right after the event.
    """
    following = data[end : end + 4]
    credible = end <= len(data) and (not following or _is_chunk(following))
    limit = end
    if not credible:
        limit = data.find(b"MTrk", start)
        limit = limit if limit > 0 else len(data)
    track = read_track(memoryview(data)[start:limit], most)
    found = start + track.size
    if track.ended:
        if found == end:
            return track
        if not credible or data[found : found + 4] == b"MTrk":
            track.remarks["its chunk has a wrong length"] += 1
            return track
        track.remarks["data behind its end are left out"] += 1
    elif credible:
        track.remarks["it has no end of track"] += 1
    else:
        track.remarks["the file ends inside it" if limit == len(data) else "its chunk has a wrong length"] += 1
    track.size = limit - start
    return track


def _track_remarks(tracks: list[Track]) -> Iterator[str]:
    """Yield a sentence for each kind of remark. It names the first track that has it."""
    where: dict[str, list[int]] = {}
    times: Counter[str] = Counter()
    for number, track in enumerate(tracks, 1):
        for remark, count in track.remarks.items():
            where.setdefault(remark, []).append(number)
            times[remark] += count
    for remark, numbers in where.items():
        others = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
        again = f" ({times[remark]} times)" if times[remark] > len(numbers) else ""
        yield f"track {numbers[0]}{others}: {remark}{again}"
