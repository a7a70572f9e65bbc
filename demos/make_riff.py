"""Synthesise the bundled guitar riff with plucked strings after Karplus and Strong.

    python demos/make_riff.py [OUT.flac]

The method is that of Karplus & Strong, "Digital synthesis of plucked-string and drum timbres", 1983. The pick position
comb and the fractional delay are from Jaffe & Smith's extensions of the same year. The random numbers are seeded, so
every run writes the same file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

RATE = 48000
BEAT = 60 / 104
OUT = Path(__file__).parents[1] / "neural_fx" / "assets" / "riff.flac"

E2, G2, A2, B2, D3, E3, FIS3, G3, A3, B3, D4, E4 = 40, 43, 45, 47, 50, 52, 54, 55, 57, 59, 62, 64

# (beat, midi notes, length in beats, velocity, palm muted)
RIFF = [
    (0.0, (E2, B2, E3), 0.5, 1.0, False),
    (0.5, (E2,), 0.25, 0.7, True),
    (0.75, (E2,), 0.25, 0.8, True),
    (1.0, (G2, D3, G3), 0.5, 0.95, False),
    (1.5, (E2,), 0.25, 0.7, True),
    (1.75, (E2,), 0.25, 0.75, True),
    (2.0, (A2, E3, A3), 0.75, 1.0, False),
    (2.75, (G2, D3, G3), 0.25, 0.85, False),
    (3.0, (E2, B2, E3), 1.0, 0.95, False),
    (4.0, (B3,), 0.5, 0.8, False),
    (4.5, (D4,), 0.25, 0.85, False),
    (4.75, (E4,), 0.75, 1.0, False),
    (5.5, (D4,), 0.25, 0.8, False),
    (5.75, (B3,), 0.25, 0.75, False),
    (6.0, (A3,), 0.5, 0.9, False),
    (6.5, (G3,), 0.25, 0.8, False),
    (6.75, (FIS3,), 0.25, 0.75, False),
    (7.0, (E3,), 1.0, 0.9, False),
    (8.0, (E2, B2, E3, G3, B3, E4), 3.5, 1.0, False),
]


def pluck(note: int, seconds: float, velocity: float, muted: bool, rng: np.random.Generator) -> np.ndarray:
    """Synthesise a plucked string: noise through a comb for the pick position, into a lossy, tuned delay line.

    Args:
        note: MIDI note.
        seconds: duration.
        velocity: 0 to 1. Softer plucks are duller.
        muted: palm muted.
        rng: random generator of the noise.

    Returns:
        (samples,).
    """
    frequency = 440 * 2 ** ((note - 69) / 12)
    period = RATE / frequency - 0.5  # the averaging filter delays by half a sample
    length, fraction = int(period), period - int(period)
    count = int(RATE * (seconds + 0.25))
    excitation = rng.uniform(-1, 1, length)
    for _ in range(1 + round(3 * (1 - velocity)) + 2 * muted):  # each pass makes the pluck duller
        excitation = 0.5 * (excitation + np.roll(excitation, 1))
    excitation -= np.roll(excitation, max(1, round(0.13 * length)))
    excitation *= velocity / np.abs(excitation).max()
    loss = (0.9 if muted else 0.9985) ** (E3 / note)
    line = np.zeros(count + length + 2)
    line[:length] = excitation
    for start in range(
        length + 2, len(line), length
    ):  # whole periods at once, because the filter is shorter than the loop
        stop = min(start + length, len(line))
        a, b, c = (line[start - length - k : stop - length - k] for k in (0, 1, 2))
        delayed = (1 - fraction) * a + fraction * b
        line[start:stop] = loss * 0.5 * (delayed + (1 - fraction) * b + fraction * c)
    out = line[:count].copy()
    release = int(0.02 * RATE)
    end = int(seconds * RATE)
    out[end : end + release] *= np.linspace(1, 0, release)
    out[end + release :] = 0
    return out


def riff() -> np.ndarray:
    """Return the riff as a guitar's direct signal, (samples,), with peaks at about -12 dBFS."""
    rng = np.random.default_rng(1983)
    total = np.zeros(int(RATE * (11.8 * BEAT + 0.5)))
    for beat, notes, length, velocity, muted in RIFF:
        for i, note in enumerate(notes):
            start = int(RATE * (beat * BEAT + 0.006 * i))  # a strum plays the strings one after the other
            sound = pluck(note, length * BEAT * 0.98, velocity, muted, rng)[: len(total) - start]
            total[start : start + len(sound)] += sound
    total = total - np.convolve(total, np.ones(801) / 801, "same")  # a pickup passes no DC
    return 0.25 * total / np.abs(total).max()


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    soundfile.write(target, riff(), RATE, subtype="PCM_16")
    print(f"{target}: {target.stat().st_size / 1024:.0f} kB")
