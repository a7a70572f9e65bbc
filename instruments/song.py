"""Play a multi-track MIDI file with instruments, one per channel."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
from numpy.typing import NDArray

from instruments.base import Instrument
from instruments.keys import KeyFollower, overlaps_resolved, releases, starts
from instruments.midi_file import MidiData, parse_midi
from instruments.midi_track import MidiFileError
from neural_fx import blocks
from neural_fx.errors import NeuralFXError, reason

DRUMS = 9
"""The channel of drums in General MIDI, counted from 0."""
PAN = 10
"""The controller that pans a channel."""
MAX_BYTES = 2**24
"""The most bytes of a file."""
MAX_SECONDS = 4 * 3600.0
"""The most seconds until the last note of a song."""
TAIL = 2.0
"""Seconds after the last note, for releases and reverb."""
MAX_HELD = 10.0
"""The most seconds after the last note for which keys and pedals are held, if they are never released."""
MAX_SAMPLES = 2**28
"""The most samples of a result: 93 minutes at 48 kHz, 2 GB."""


@dataclass(frozen=True)
class Song:
    """Content of a MIDI file by channel, counted from 0.

    Attributes:
        channels: messages with times in seconds. Channels without notes are left out.
        programs: first General MIDI program of each channel.
        seconds: time until the last note ends, or the pedal that holds it is released.
        remarks: sentences on what is wrong with the file, or not played.
    """

    channels: Mapping[int, list[mido.Message]]
    programs: Mapping[int, int]
    seconds: float
    remarks: tuple[str, ...] = ()


def read_song(path: str | Path) -> Song:
    """Read a MIDI file leniently. What can be played is kept, and `Song.remarks` lists what is wrong.

    Args:
        path: the file.

    Raises:
        NeuralFXError: it cannot be read, is not a MIDI file, is not one song, is too long, or has no notes.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise NeuralFXError(f"{path}: cannot be read as MIDI: {reason(error)}") from None
    if len(data) > MAX_BYTES:
        raise NeuralFXError(f"{path}: is over {MAX_BYTES // 2**20} MB, too large for a song")
    try:
        return _song(parse_midi(data))
    except MidiFileError as error:
        raise NeuralFXError(f"{path}: {error}") from None


def _song(file: MidiData) -> Song:
    """Sort a file's messages by channel, and find when its last note ends."""
    channels = _by_channel(file)
    played = {
        channel: overlaps_resolved(messages)
        for channel, messages in channels.items()
        if any(starts(message) for message in messages)
    }
    if not played:
        because = f" ({'; '.join(file.remarks)})" if file.remarks else ""
        raise MidiFileError(f"has no notes{because}")
    followers = {channel: _follow(messages) for channel, messages in played.items()}
    file_seconds = file.clock.seconds(file.end)
    seconds = max(follower.last for follower in followers.values())
    held = [str(channel + 1) for channel, follower in followers.items() if follower.held]
    if held:  # they are held until the file ends, but not for longer than `MAX_HELD`
        seconds = max(seconds, min(file_seconds, seconds + MAX_HELD))
    if seconds > MAX_SECONDS:
        raise MidiFileError(f"lasts {seconds / 3600:.1f} hours; at most {MAX_SECONDS / 3600:g} hours are played")
    remarks = list(file.remarks)
    if held:
        remarks.append(f"keys or pedals are still down at the end on channel {', '.join(held)}; released there")
    if file_seconds > seconds + MAX_HELD:
        remarks.append(f"the file ends {file_seconds - seconds:.0f} s after its last note; that silence is left out")
    programs = {channel: _programs(messages) for channel, messages in channels.items()}
    for channel in played:
        if len(set(programs[channel])) > 1:
            remarks.append(f"channel {channel + 1} changes its program; one instrument plays all of it")
    first_programs = {channel: found[0] for channel, found in programs.items() if found}
    return Song(played, first_programs, seconds, tuple(remarks))


def _by_channel(file: MidiData) -> dict[int, list[mido.Message]]:
    """Return the messages of each channel, with times in seconds, in the order of the channels."""
    channels: dict[int, list[mido.Message]] = {}
    for tick, data in file.events:
        message = mido.Message.from_bytes(data, time=file.clock.seconds(tick))
        channels.setdefault(message.channel, []).append(message)
    return dict(sorted(channels.items()))


def _programs(messages: list[mido.Message]) -> list[int]:
    """Return the General MIDI programs that a channel selects, in the order of time."""
    return [message.program for message in messages if message.type == "program_change"]


def _follow(messages: list[mido.Message]) -> KeyFollower:
    """Return the state of a channel's keys and pedals at its end."""
    follower = KeyFollower()
    for message in messages:
        follower.follow(message)
    return follower


def perform(
    song: Song,
    instruments: Mapping[int, Instrument],
    sample_rate: float = 48000,
    report: Callable[[float], None] = lambda seconds: None,
) -> NDArray[np.float32]:
    """Play the channels of a song that have an instrument.

    Keys and pedals that are still down at the end of the song are released there. Each channel is panned by the first
    value of its controller 10.

    Args:
        song: as `read_song` returns it.
        instruments: by channel, counted from 0. Each channel needs one of its own.
        sample_rate: Hz.
        report: called during the work with the seconds of one channel's audio that have been added.

    Returns:
        (2, samples) float32, not clipped.

    Raises:
        NeuralFXError: the result would be too large.
    """
    count = round((song.seconds + TAIL) * sample_rate)
    if count > MAX_SAMPLES:
        most = MAX_SAMPLES / sample_rate / 60
        raise NeuralFXError(
            f"the song lasts {song.seconds / 60:.0f} minutes; at {sample_rate:g} Hz at most {most:.0f} are rendered; "
            "choose a lower sample rate, or split the song"
        )
    mix = np.zeros((2, count), np.float32)
    for channel, instrument in instruments.items():
        messages = song.channels[channel]
        left, right = _pan_gains(messages)
        start = 0
        for part in _parts(instrument, [*messages, *releases(channel, song.seconds)], count, sample_rate):
            end = start + len(part)
            mix[0, start:end] += left * part
            mix[1, start:end] += right * part
            start = end
            report(len(part) / sample_rate)
    fade = min(round(blocks.SONG_FADE_SECONDS * sample_rate), count)
    mix[:, count - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return mix


def _parts(
    instrument: Instrument, messages: list[mido.Message], count: int, sample_rate: float
) -> Iterator[NDArray[np.float32]]:
    """Play messages, and yield the audio in parts of a few seconds, each (samples,)."""
    messages = sorted(messages, key=_time)
    step = round(blocks.SONG_STEP_SECONDS * sample_rate)
    instrument.reset()
    first = 0
    for start in range(0, count, step):
        size = min(step, count - start)
        start_seconds = start / sample_rate
        last = bisect_left(messages, (start + size) / sample_rate, key=_time)
        due = [message.copy(time=message.time - start_seconds) for message in messages[first:last]]
        yield instrument(due, size / sample_rate, sample_rate, 1, reset=False)[0]
        first = last
    instrument.reset()


def _time(message: mido.Message) -> float:
    return float(message.time)


def _pan_gains(messages: list[mido.Message]) -> tuple[np.float32, np.float32]:
    """Return the gains of the left and right channel: equal power, and 1 and 1 in the middle."""
    positions = [m.value for m in messages if m.type == "control_change" and m.control == PAN]
    angle = (positions[0] / 127 if positions else 0.5) * np.pi / 2
    return np.float32(np.cos(angle) * np.sqrt(2)), np.float32(np.sin(angle) * np.sqrt(2))
