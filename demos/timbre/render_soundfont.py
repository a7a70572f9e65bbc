"""Render solo performances with a SoundFont: scales, leaps, long and short notes, with vibrato and dynamics.

    python demos/timbre/render_soundfont.py flute OUT_FOLDER [--soundfont FILE.sf2] [--files 24] [--seconds 20]

Needs `fluidsynth` and a SoundFont (Debian: fluidsynth, musescore-general-soundfont-lossless). Every run
plays the same notes. The reverb and chorus of the synthesiser are off.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import mido
import numpy as np

SOUNDFONT = Path("/usr/share/sounds/sf2/MuseScore_General_Full.sf2")
INSTRUMENTS = {"flute": (73, 60, 93), "trumpet": (56, 54, 84)}
"""General MIDI program, lowest and highest note."""
TICKS = 480  # per quarter note; two quarter notes are a second


def performance(rng: np.random.Generator, program: int, low: int, high: int, seconds: float) -> mido.MidiFile:
    """Make a random performance of one voice.

    Args:
        rng: random generator.
        program: General MIDI program, from 0.
        low, high: lowest and highest MIDI note.
        seconds: duration.
    """
    events: list[tuple[float, mido.Message]] = [(0.0, mido.Message("program_change", program=program))]
    t, note = 0.1, int(rng.integers(low, high + 1))
    while t < seconds - 3:
        style = rng.choice(["long", "scale", "leaps", "short"], p=[0.35, 0.3, 0.2, 0.15])
        count = {"long": 1, "scale": int(rng.integers(4, 9)), "leaps": int(rng.integers(2, 6)), "short": 5}[style]
        length = {"long": rng.uniform(1.2, 3), "scale": rng.uniform(0.15, 0.5), "leaps": rng.uniform(0.3, 0.9),
                  "short": rng.uniform(0.12, 0.3)}[style]  # fmt: skip
        overlap = 0.03 if style == "scale" and rng.random() < 0.7 else -0.05 - (0.05 if style == "short" else 0)
        step = int(rng.choice([-2, -1, 1, 2])) if style == "scale" else 0
        velocity = int(rng.integers(35, 125))
        begin, level = t, rng.uniform(0.45, 1.0)
        for _ in range(count):
            note = note + step if style == "scale" else note + int(rng.integers(-9, 10))
            note = low + abs(note - low)
            note = high - abs(high - note) if note > high else note
            end = t + length + overlap
            loud = int(np.clip(velocity + rng.integers(-10, 11), 20, 127))
            events += [
                (t, mido.Message("note_on", note=note, velocity=loud)),
                (end, mido.Message("note_off", note=note)),
            ]
            t += length
        events += expression(rng, begin, t, level, style == "long" or rng.random() < 0.3)
        t += rng.choice([0.05, 0.3, 0.8])
    track, now = mido.MidiTrack(), 0
    for at, message in sorted(events, key=lambda event: event[0]):
        tick = round(at * 2 * TICKS)
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=round(2 * TICKS * max(0.0, seconds - now / (2 * TICKS)))))
    return mido.MidiFile(ticks_per_beat=TICKS, tracks=[track])


def expression(
    rng: np.random.Generator, begin: float, end: float, level: float, vibrato: bool
) -> list[tuple[float, mido.Message]]:
    """Return a swell or a fade on controller 11, and delayed vibrato as pitch bends.

    Args:
        rng: random generator.
        begin, end: time range in seconds.
        level: level at the start, 0 to 1.
        vibrato: whether to add vibrato.

    Returns:
        Times in seconds, and messages.
    """
    times = np.arange(begin, end, 0.02)
    way = (times - begin) / max(end - begin, 1e-3)
    start, stop = level, float(np.clip(level + rng.uniform(-0.4, 0.4), 0.35, 1))
    arch = rng.choice([0.0, 0.3]) * np.sin(np.pi * way)
    loudness = np.clip(start + (stop - start) * way + arch, 0.3, 1)
    events = [(t, mido.Message("control_change", control=11, value=int(127 * v))) for t, v in zip(times, loudness)]
    rate, depth = rng.uniform(4.5, 6.5), rng.uniform(8, 35) / 200 * vibrato  # of two semitones
    late = np.clip((times - begin - 0.3) / 0.5, 0, 1)
    bend = 8191 * depth * late * np.sin(2 * np.pi * rate * (times - begin))
    return events + [(t, mido.Message("pitchwheel", pitch=int(b))) for t, b in zip(times, bend)]


def main() -> None:
    """Render the performances to WAV files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("instrument", choices=INSTRUMENTS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--soundfont", type=Path, default=SOUNDFONT)
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(options.files):
            rng = np.random.default_rng([7, i])
            midi = Path(folder) / f"{i}.mid"
            performance(rng, *INSTRUMENTS[options.instrument], options.seconds).save(midi)
            wav = options.out / f"{options.instrument}-{i:02d}.wav"
            command = [
                "fluidsynth",
                "-ni",
                "-r",
                "48000",
                "-R",
                "0",
                "-C",
                "0",
                "-g",
                "0.8",
                "-T",
                "wav",
                "-O",
                "float",
            ]
            subprocess.run(
                [*command, "-F", str(wav), str(options.soundfont), str(midi)], check=True, capture_output=True
            )


if __name__ == "__main__":
    main()
