"""A multi-track MIDI file played by instruments, one per channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
from numpy.typing import NDArray

from instruments.base import Instrument
from neural_fx.errors import NeuralFXError

DRUMS = 9
"""The channel of drums in General MIDI, counted from 0."""
MAX_BYTES = 2**24
MAX_SECONDS = 4 * 3600.0
TAIL = 2.0
"""Seconds after the last message, for releases and rooms."""
STEP = 2.0
"""Seconds rendered between reports of progress."""


@dataclass(frozen=True)
class Song:
    """What a MIDI file says, by channel.

    Attributes:
        channels: messages with times in seconds; only channels with notes.
        programs: the first General MIDI program of each.
        seconds: until the last message.
    """

    channels: Mapping[int, list[mido.Message]]
    programs: Mapping[int, int]
    seconds: float


def read_song(path: str | Path) -> Song:
    """Read a MIDI file.

    Raises:
        NeuralFXError: it cannot be read, is damaged, no MIDI file, too long, or has no notes.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise NeuralFXError(f"{path}: is over {MAX_BYTES // 2**20} MB, too large for a song")
        file = mido.MidiFile(path)
        if file.type == 2:
            raise NeuralFXError(f"{path}: holds independent patterns (type 2); expected one song")
        return _sorted(file, path)
    except NeuralFXError:
        raise
    except OSError as error:
        raise NeuralFXError(f"{path}: cannot be read as MIDI: {error.strerror or error or 'it ends early'}") from None
    except Exception as error:  # mido raises several kinds for damaged files
        raise NeuralFXError(f"{path}: is no MIDI file, or damaged: {error}") from None


def _sorted(file: mido.MidiFile, path: Path) -> Song:
    channels: dict[int, list[mido.Message]] = {}
    programs: dict[int, int] = {}
    now, last = 0.0, 0.0
    for message in file:
        now += message.time
        if now > MAX_SECONDS:
            raise NeuralFXError(f"{path}: lasts over {MAX_SECONDS / 3600:g} hours")
        if message.is_meta or not hasattr(message, "channel"):
            continue
        last = now
        channels.setdefault(message.channel, []).append(message.copy(time=now))
        if message.type == "program_change":
            programs.setdefault(message.channel, message.program)
    played = {c: m for c, m in sorted(channels.items()) if any(x.type == "note_on" and x.velocity for x in m)}
    if not played:
        raise NeuralFXError(f"{path}: has no notes")
    return Song(played, programs, last)


def perform(
    song: Song,
    players: Mapping[int, Instrument],
    sample_rate: float = 48000,
    report: Callable[[float], None] = lambda seconds: None,
) -> NDArray[np.float32]:
    """Play the channels that have a player.

    Args:
        song: as `read_song` gives it.
        players: an instrument of its own for each channel.
        sample_rate: Hz.
        report: called with seconds of one channel's audio as they are done.

    Returns:
        (2, samples) float32, unclipped; each channel panned as its controller 10 begins.
    """
    total = song.seconds + TAIL
    mix = np.zeros((2, round(total * sample_rate)), np.float32)
    for channel, player in players.items():
        messages = song.channels[channel]
        left, right = _pan(messages)
        player.reset()
        step, at = round(STEP * sample_rate), 0
        while at < mix.shape[1]:
            size = min(step, mix.shape[1] - at)
            begin, end = at / sample_rate, (at + size) / sample_rate
            now = [m.copy(time=m.time - begin) for m in messages if begin <= m.time < end]
            part = player(now, size / sample_rate, sample_rate, 1, reset=False)[0]
            mix[0, at : at + size] += left * part
            mix[1, at : at + size] += right * part
            at += size
            report(size / sample_rate)
        player.reset()
    return mix


def _pan(messages: list[mido.Message]) -> tuple[np.float32, np.float32]:
    """Equal power; 1 and 1 in the middle."""
    where = [m.value for m in messages if m.type == "control_change" and m.control == 10]
    angle = (where[0] / 127 if where else 0.5) * np.pi / 2
    return np.float32(np.cos(angle) * np.sqrt(2)), np.float32(np.sin(angle) * np.sqrt(2))
