"""Render the parts of a song, pan its channels, and mix them."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import mido
import numpy as np
from numpy.typing import NDArray

from instruments.arrangement import Part
from instruments.base import Instrument
from instruments.channels import PAN
from instruments.keys import releases
from instruments.song import Song
from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.errors import NeuralFXError

TAIL = 2.0
"""Seconds after the last note, for releases and reverb."""
MAX_SAMPLES = 2**28
"""The most samples of a result: 93 minutes at 48 kHz, 2 GB."""


def perform(
    song: Song,
    instruments: Mapping[int, Instrument],
    sample_rate: float = 48000,
    report: Callable[[float], None] = lambda seconds: None,
) -> Audio:
    """Play the channels of a song that have an instrument, and mix them.

    Args:
        song: as `read_song` returns it.
        instruments: by channel, counted from 0. Each channel needs one of its own.
        sample_rate: Hz.
        report: as for `render_channels`.

    Returns:
        (2, samples) float32, not clipped.

    Raises:
        NeuralFXError: the result would be too large.
    """
    parts = {channel: [Part(channel, player, song.channels[channel])] for channel, player in instruments.items()}
    mix = np.zeros((2, song_samples(song, sample_rate)), np.float32)
    for _, audio in render_channels(song, parts, sample_rate, report):
        mix += audio
    return mix


def song_samples(song: Song, sample_rate: float) -> int:
    """Return the length of a song in samples, with its tail.

    Raises:
        NeuralFXError: it is too large.
    """
    count = round((song.seconds + TAIL) * sample_rate)
    if count > MAX_SAMPLES:
        most = MAX_SAMPLES / sample_rate / 60
        raise NeuralFXError(
            f"the song lasts {song.seconds / 60:.0f} minutes; at {sample_rate:g} Hz at most {most:.0f} are rendered; "
            "choose a lower sample rate, or split the song"
        )
    return count


def render_channels(
    song: Song,
    parts: Mapping[int, Sequence[Part]],
    sample_rate: float,
    report: Callable[[float], None] = lambda seconds: None,
    jobs: int = 1,
) -> Generator[tuple[int, Audio], None, None]:
    """Render channel by channel.

    Keys and pedals that are still down at the end of the song are released there. Each channel is panned by its
    controller 10, with equal power. Its first value also counts for the time before it.

    Args:
        song: as `read_song` returns it.
        parts: by channel, counted from 0.
        sample_rate: Hz.
        report: called during the work with the seconds of one part's audio that have been rendered. Calls come from
            other threads, one at a time.
        jobs: most threads. The result does not depend on them. Long songs get fewer, to save memory.

    Yields:
        The channel, and its audio: (2, samples) float32, not clipped. All have the same length.

    Raises:
        NeuralFXError: the result would be too large.
    """
    count = song_samples(song, sample_rate)
    stop = threading.Event()
    lock = threading.Lock()

    def advance(samples: int) -> bool:
        with lock:
            report(samples / sample_rate)
        return not stop.is_set()

    # A long song takes gigabytes per channel, so few channels are rendered at a time.
    jobs = max(1, min(jobs, MAX_SAMPLES // (4 * count)))
    ahead = jobs if jobs > 1 else 0
    waiting: deque[tuple[int, Future[Audio]]] = deque()
    with ThreadPoolExecutor(jobs, thread_name_prefix="song") as pool:
        try:
            for channel, own in parts.items():
                waiting.append((channel, pool.submit(_render, song, own, count, sample_rate, advance)))
                if len(waiting) > ahead:
                    yield _finished(waiting)
            while waiting:
                yield _finished(waiting)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _finished(waiting: deque[tuple[int, Future[Audio]]]) -> tuple[int, Audio]:
    channel, future = waiting.popleft()
    return channel, future.result()


def _render(song: Song, parts: Sequence[Part], count: int, sample_rate: float, advance: Callable[[int], bool]) -> Audio:
    """Return the audio of one channel: (2, count). `advance` says whether to go on."""
    mono = np.zeros(count, np.float32)
    for part in parts:
        messages = [*part.messages, *releases(part.channel, song.seconds)]
        gain = np.float32(10 ** (part.balance.gain_db / 20))
        start = 0
        for block in _blocks(part.instrument, messages, count, sample_rate):
            mono[start : start + len(block)] += gain * block
            start += len(block)
            if not advance(len(block)):
                break
    fade = min(round(blocks.SONG_FADE_SECONDS * sample_rate), count)
    mono[count - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return pan(mono, song.channels[parts[0].channel] if parts else [], sample_rate)


def _blocks(instrument: Instrument, messages: list[mido.Message], count: int, sample_rate: float) -> Iterator[Audio]:
    """Play messages, and yield the audio in blocks of a few seconds, each (samples,)."""
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


def pan(mono: Audio, messages: Sequence[mido.Message], sample_rate: float) -> Audio:
    """Pan audio by the controllers 10 among messages: equal power, and a gain of 1 in the middle.

    Args:
        mono: (samples,).
        messages: with times in seconds, in the order of time.
        sample_rate: Hz.

    Returns:
        (2, samples) float32.
    """
    moves = [message for message in messages if message.type == "control_change" and message.control == PAN]
    positions = [message.value / 127 for message in moves] or [0.5]
    if len(set(positions)) == 1:
        return _at_position(mono, positions[0])
    stereo = np.empty((2, len(mono)), np.float32)
    step = round(blocks.SMOOTHING_SECONDS * sample_rate)
    for start in range(0, len(mono), step):
        block = mono[start : start + step]
        # The position moves in a straight line between the edges of short blocks, so that it does not click.
        first, last = (
            positions[max(0, bisect_right(moves, (start + edge) / sample_rate, key=_time) - 1)] for edge in (0, step)
        )
        line = np.linspace(first, last, len(block), endpoint=False) if first != last else first
        stereo[:, start : start + step] = _at_position(block, line)
    return stereo


def _at_position(mono: Audio, position: float | NDArray[np.float64]) -> Audio:
    """Return audio at one position from 0 (left) to 1, or at a position for each sample."""
    angle = np.asarray(position) * np.pi / 2
    stereo = np.empty((2, len(mono)), np.float32)
    np.multiply(mono, (np.sqrt(2) * np.cos(angle)).astype(np.float32), out=stereo[0])
    np.multiply(mono, (np.sqrt(2) * np.sin(angle)).astype(np.float32), out=stereo[1])
    return stereo
