"""Play MIDI files by General MIDI, and check that every note of them can be found in the audio of its channel.

python demos/instruments/check_songs.py FOLDER --out songs.jsonl

A note is found if the spectrum of the 170 ms after its onset has a peak at one of its first three harmonics, 9 dB above
the median of the 4 semitones around it. As a control, the same is asked of notes half an octave higher, which the song
does not have at that time. Notes that the file makes silent are counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import mido
import numpy as np
from numpy.typing import NDArray

from bridge.cli.song_options import arrange
from instruments.arrangement import VOLUME
from instruments.channels import Channel
from instruments.general_midi import DRUM_CHANNEL
from instruments.keys import starts
from instruments.mixing import render_channels
from instruments.song import read_song

RATE = 48000
WINDOW = 8192
EXPRESSION = 11
HARMONICS = (1, 2, 3)
PEAK_DB = 9.0
SILENT_DB = -60.0


@dataclass
class Result:
    """What was found in a song. The counts are of notes."""

    song: str
    seconds: float = 0.0
    wall_seconds: float = 0.0
    channels: int = 0
    instruments: int = 0
    notes: int = 0
    found: int = 0
    silent: int = 0
    controls: int = 0
    controls_found: int = 0
    drums: int = 0
    peak: float = 0.0


@dataclass(frozen=True)
class Onset:
    """The beginning of a note.

    Attributes:
        seconds: from the start of the song.
        pitch: MIDI note number with bend and tuning.
        audible: whether volume and expression let it sound.
    """

    seconds: float
    pitch: float
    audible: bool


def main() -> None:
    """Check the songs that the results lack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("songs.jsonl"))
    options = parser.parse_args()
    done = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    names = {result["song"] for result in done}
    for path in sorted(options.folder.rglob("*.mid")):
        if path.name not in names:
            result = asdict(check(path))
            with options.out.open("a") as file:
                file.write(json.dumps(result) + "\n")
            done.append(result)
            print(result, flush=True)
    total = {key: round(sum(result[key] for result in done), 1) for key in asdict(Result("")) if key != "song"}
    print(len(done), "songs:", total)
    print(f"{total['seconds'] / total['wall_seconds']:.1f} x real time")


def check(path: Path) -> Result:
    """Play one song, and look for its notes."""
    song = read_song(path)
    arrangement = arrange(song, None, (), ())
    result = Result(path.name, channels=len(arrangement.parts))
    result.instruments = sum(len(parts) for parts in arrangement.parts.values())
    result.drums = sum(starts(message) for message in song.channels.get(DRUM_CHANNEL, []))
    mix: NDArray[np.float32] | float = 0.0
    began = time.perf_counter()
    checking = 0.0
    for channel, audio in render_channels(song, arrangement.parts, RATE, jobs=os.cpu_count() or 1):
        mix = mix + audio
        result.seconds = audio.shape[1] / RATE
        if channel == DRUM_CHANNEL:
            continue
        check_began = time.perf_counter()
        # Power from both sides, so that the place in the stereo picture does not matter.
        mono = np.sqrt(0.5) * (audio[0] + audio[1])
        _count(result, list(onsets(song.channels[channel])), mono)
        checking += time.perf_counter() - check_began
    result.wall_seconds = round(time.perf_counter() - began - checking, 2)
    result.peak = round(float(np.abs(mix).max()), 3)
    return result


def onsets(messages: Sequence[mido.Message]) -> Iterator[Onset]:
    """Yield the onsets of a channel."""
    state = Channel()
    for message in messages:
        if message.type == "control_change":
            state.control(message.control, message.value, 2.0)
        elif message.type == "pitchwheel":
            state.bend = message.pitch / 8192
        elif starts(message):
            volume = state.controls.get(VOLUME, 1.0)
            expression = state.controls.get(EXPRESSION, 1.0)
            gain_db = 40 * np.log10(max(volume, 1e-3)) + 30 * (expression - 1)
            pitch = message.note + state.bend * state.bend_range(2.0) + state.tuning
            yield Onset(message.time, pitch, gain_db > SILENT_DB)


def _count(result: Result, notes: Sequence[Onset], mono: NDArray[np.float32]) -> None:
    times = np.array([note.seconds for note in notes])
    pitches = np.array([note.pitch for note in notes])
    padded = np.concatenate((mono, np.zeros(WINDOW, np.float32)))
    window = np.hanning(WINDOW)
    spectra: dict[float, NDArray[np.float64]] = {}
    for note in notes:
        result.notes += 1
        if not note.audible:
            result.silent += 1
            continue
        if note.seconds not in spectra:
            spectra.clear()
            start = round(note.seconds * RATE)
            spectrum = np.abs(np.fft.rfft(window * padded[start : start + WINDOW]))
            spectra[note.seconds] = 20 * np.log10(spectrum + 1e-9)
        spectrum_db = spectra[note.seconds]
        result.found += has_peak(spectrum_db, note.pitch)
        near = pitches[np.abs(times - note.seconds) < 1.0] - (note.pitch + 6)
        if not any(np.any(np.abs(near - 12 * np.log2(ratio)) < 0.8) for ratio in (1, 2, 3, 0.5, 1 / 3, 1.5, 2 / 3)):
            result.controls += 1
            result.controls_found += has_peak(spectrum_db, note.pitch + 6)


def has_peak(spectrum_db: NDArray[np.float64], pitch: float) -> bool:
    """Return whether a spectrum has a peak at one of the first harmonics of a pitch."""
    hz = 440 * 2 ** ((pitch - 69) / 12)
    for harmonic in HARMONICS:
        center = harmonic * hz * WINDOW / RATE
        width = max(1.5, 0.04 * center)
        around = spectrum_db[max(0, int(center * 2 ** (-2 / 12) - 4)) : int(center * 2 ** (2 / 12) + 6)]
        peak = spectrum_db[max(0, int(center - width)) : int(center + width) + 2].max()
        if peak > -60 and peak - np.median(around) > PEAK_DB:
            return True
    return False


if __name__ == "__main__":
    main()
