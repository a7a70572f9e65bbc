"""Play MIDI files by General MIDI, and check that every note of them can be found in the audio of its channel.

python demos/instruments/check_songs.py FOLDER --out songs.jsonl

A note is found if the 170 ms after its onset have a peak at three of its first five harmonics, and one of the harmonics
is louder than in the 170 ms before. If the next onset of the channel comes sooner, the time until then may have the
peaks instead. A note whose key sounded until 0.4 s before or later needs the peaks alone: it is counted as repeated. As
a control, the same is asked of notes half an octave higher, where the song has none. Notes that the volume and the
expression of the file make silent are counted apart. Notes below 55 Hz are looked for in 680 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mido
import numpy as np
from numpy.typing import NDArray

from bridge.cli.song_options import arrange
from instruments.arrangement import VOLUME
from instruments.channels import Channel
from instruments.general_midi import DRUM_CHANNEL
from instruments.keys import KeyFollower, starts
from instruments.mixing import render_channels
from instruments.song import read_song

RATE = 48000
WINDOW = 8192
LONG = 4 * WINDOW
LOWEST_RESOLVED = 33  # notes below have harmonics that are closer than a window resolves
EXPRESSION = 11
PEAK_DB = 12.0
RANGE_DB = 50.0
RISE_DB = 3.0
REPEAT_SECONDS = 0.4
SHORTEST_SECONDS = 0.05
CONTROL_SEMITONES = 6
RELATED = (1, 2, 3, 1 / 2, 1 / 3, 3 / 2, 2 / 3)
SILENT_DB = -60.0


@dataclass
class Result:
    """What was found in a song. The counts are of notes. `lost` has their channels, seconds and pitches."""

    song: str
    seconds: float = 0.0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    channels: int = 0
    instruments: int = 0
    notes: int = 0
    found: int = 0
    silent: int = 0
    repeated: int = 0
    controls: int = 0
    controls_found: int = 0
    drums: int = 0
    peak: float = 0.0
    lost: list[tuple[int, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Onset:
    """The beginning of a note.

    Attributes:
        seconds: from the start of the song.
        pitch: MIDI note number with bend and tuning.
        audible: whether volume and expression let it sound.
        repeated: whether its key sounded until shortly before.
    """

    seconds: float
    pitch: float
    audible: bool
    repeated: bool


def main() -> None:
    """Check the songs that the results lack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("songs.jsonl"))
    options = parser.parse_args()
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    names = {result["song"] for result in done}
    for path in sorted(options.folder.rglob("*.mid"), key=lambda path: (path.stat().st_size, path.name)):
        if path.name not in names:
            result = asdict(check(path))
            with options.out.open("a") as file:
                file.write(json.dumps(result) + "\n")
            done.append(result)
            print(result, flush=True)
    total = {
        key: round(sum(result[key] for result in done), 1) for key in asdict(Result("")) if key not in ("song", "lost")
    }
    print(len(done), "songs:", total)
    print(f"{total['seconds'] / total['wall_seconds']:.1f} x real time")
    print(f"{total['seconds'] / total['cpu_seconds']:.1f} x real time on one core that does nothing else")


def check(path: Path) -> Result:
    """Play one song, and look for its notes."""
    song = read_song(path)
    arrangement = arrange(song, None, (), ())
    result = Result(path.name, channels=len(arrangement.parts))
    result.instruments = sum(len(parts) for parts in arrangement.parts.values())
    result.drums = sum(starts(message) for message in song.channels.get(DRUM_CHANNEL, []))
    mix: NDArray[np.float32] | float = 0.0
    began = time.perf_counter()
    cpu_began = time.process_time()
    checking = 0.0
    checking_cpu = 0.0
    for channel, audio in render_channels(song, arrangement.parts, RATE, jobs=os.cpu_count() or 1):
        mix = mix + audio
        result.seconds = audio.shape[1] / RATE
        if channel == DRUM_CHANNEL:
            continue
        check_began = time.perf_counter()
        check_cpu_began = time.thread_time()
        # Power from both sides, so that the place in the stereo picture does not matter.
        mono = np.sqrt(0.5) * (audio[0] + audio[1])
        _count(result, channel, list(onsets(song.channels[channel])), mono)
        checking += time.perf_counter() - check_began
        checking_cpu += time.thread_time() - check_cpu_began
    result.wall_seconds = round(time.perf_counter() - began - checking, 2)
    result.cpu_seconds = round(time.process_time() - cpu_began - checking_cpu, 2)
    result.peak = round(float(np.abs(mix).max()), 3)
    return result


def onsets(messages: Sequence[mido.Message]) -> Iterator[Onset]:
    """Yield the onsets of a channel."""
    state = Channel()
    follower = KeyFollower()
    ends: dict[int, float] = {}
    for message in messages:
        held = follower.notes
        follower.follow(message)
        ends.update(dict.fromkeys(held - follower.notes, message.time))
        if message.type == "control_change":
            state.control(message.control, message.value, 2.0)
        elif message.type == "pitchwheel":
            state.bend = message.pitch / 8192
        elif starts(message):
            volume = state.controls.get(VOLUME, 1.0)
            expression = state.controls.get(EXPRESSION, 1.0)
            gain_db = 40 * np.log10(max(volume, 1e-3)) + 30 * (expression - 1)
            pitch = message.note + state.bend * state.bend_range(2.0) + state.tuning
            repeated = message.note in held or message.time - ends.get(message.note, -1.0) < REPEAT_SECONDS
            yield Onset(message.time, pitch, gain_db > SILENT_DB, repeated)


def _count(result: Result, channel: int, notes: Sequence[Onset], mono: NDArray[np.float32]) -> None:
    times = np.array([note.seconds for note in notes])
    pitches = np.array([note.pitch for note in notes])
    padded = np.concatenate((np.zeros(LONG, np.float32), mono, np.zeros(LONG, np.float32)))
    for note in notes:
        result.notes += 1
        if not note.audible:
            result.silent += 1
            continue
        start = LONG + round(note.seconds * RATE)
        later = times[times > note.seconds + SHORTEST_SECONDS]
        until_next = round((later.min() - note.seconds) * RATE) if len(later) else LONG
        found = is_found(padded, start, until_next, note.pitch, note.repeated)
        result.found += found
        result.repeated += note.repeated
        if not found:
            result.lost.append((channel + 1, round(note.seconds, 3), round(note.pitch, 2)))
        near = pitches[np.abs(times - note.seconds) < 1.0] - (note.pitch + CONTROL_SEMITONES)
        if not any(np.any(np.abs(near - 12 * np.log2(ratio)) < 0.8) for ratio in RELATED):
            result.controls += 1
            result.controls_found += is_found(padded, start, until_next, note.pitch + CONTROL_SEMITONES, False)


def is_found(audio: NDArray[np.float32], start: int, until_next: int, pitch: float, repeated: bool) -> bool:
    """Return whether a note begins at a sample.

    Args:
        audio: (samples,).
        start: sample of the onset.
        until_next: samples until the next onset.
        pitch: MIDI note number.
        repeated: whether it need not be louder than before.
    """
    window = LONG if pitch < LOWEST_RESOLVED else WINDOW
    before = spectrum_db(audio[start - window : start], window)
    for length in sorted({window, min(window, max(WINDOW, until_next)), min(window, until_next)}):
        after = spectrum_db(audio[start : start + length], window)
        if has_peaks(after, pitch) and (repeated or rises(before, after, pitch)):
            return True
    return False


def spectrum_db(audio: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Return the levels of up to `size` samples in dB, as the spectrum of a sine of this length."""
    scale = size / len(audio)
    return np.asarray(20 * np.log10(scale * np.abs(np.fft.rfft(np.hanning(len(audio)) * audio, size)) + 1e-6))


def has_peaks(spectrum: NDArray[np.float64], pitch: float) -> bool:
    """Return whether a spectrum has peaks at three of the first five harmonics of a pitch."""
    loudest = spectrum.max()
    found = 0
    for low, high, center in _bins(pitch, spectrum):
        peak = low + int(np.argmax(spectrum[low:high]))
        around = spectrum[max(0, int(center * 2 ** (-3 / 12) - 4)) : int(center * 2 ** (3 / 12) + 6)]
        is_top = spectrum[peak] >= max(spectrum[peak - 1], spectrum[peak + 1])
        found += bool(is_top and spectrum[peak] > loudest - RANGE_DB and spectrum[peak] > np.median(around) + PEAK_DB)
    return found >= 3


def rises(before: NDArray[np.float64], after: NDArray[np.float64], pitch: float) -> bool:
    """Return whether any of the first five harmonics of a pitch rises."""
    return any(after[low:high].max() > before[low:high].max() + RISE_DB for low, high, _ in _bins(pitch, after))


def _bins(pitch: float, spectrum: NDArray[np.float64]) -> Iterator[tuple[int, int, float]]:
    """Yield the first, the end and the middle of the bins of each harmonic."""
    hz = 440 * 2 ** ((pitch - 69) / 12)
    window = 2 * (len(spectrum) - 1)
    for harmonic in range(1, 6):
        center = harmonic * hz * window / RATE
        width = max(1.5, 0.025 * center)
        if center + width < window // 2 - 2:
            yield max(1, round(center - width)), round(center + width) + 1, center


if __name__ == "__main__":
    main()
