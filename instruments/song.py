"""Read a MIDI file as a song: the messages of each channel, and when its last note ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mido

from instruments.keys import KeyFollower, overlaps_resolved, starts
from instruments.midi_file import MidiData, parse_midi
from instruments.midi_track import MidiFileError
from neural_fx.errors import NeuralFXError, reason

MAX_BYTES = 2**24
"""The most bytes of a file."""
MAX_SECONDS = 4 * 3600.0
"""The most seconds until the last note of a song."""
MAX_HELD = 10.0
"""The most seconds after the last note for which keys and pedals are held, if they are never released."""


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
