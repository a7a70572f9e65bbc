"""Measure the pitch, level and steadiness of the autoregressive instruments. Prints a table.

python demos/autoregressive/measure_instruments.py [SECONDS OF THE HELD NOTE]
"""

from __future__ import annotations

import sys
import time

import mido
import numpy as np

from instruments import Recurrent, WaveNet
from instruments.autoregressive.instrument import NAMES

RATE = 24000
KEY = 69
BINS = 2**20


def cents_off(audio: np.ndarray, hz: float) -> float:
    """Return by how many cents the strongest of five harmonics is off, (samples,) of a steady note."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), BINS))
    best, found = 0.0, 0.0
    for harmonic in range(1, 6):
        low, high = (round(harmonic * hz * 2**octave * BINS / RATE) for octave in (-1 / 15, 1 / 15))
        peak = low + int(spectrum[low:high].argmax())
        if spectrum[peak] > best:
            best = float(spectrum[peak])
            found = 1200 * float(np.log2(peak * RATE / BINS / harmonic / hz))
    return found


def main(seconds: float) -> None:
    """Print the table."""
    print(
        "| sound | cents off | level at the end against 1 s in, dB | least and most level of 0.1 s, dB | x real time |"
    )
    print("|---|---|---|---|---|")
    for kind in (WaveNet, Recurrent):
        for name in NAMES:
            instrument = kind(name)
            messages = [mido.Message("note_on", note=KEY, velocity=90, time=0)]
            began = time.thread_time()
            audio = instrument(messages, seconds, RATE, num_channels=1)[0]
            speed = seconds / (time.thread_time() - began)
            steady = audio[RATE // 2 :].astype(np.float64)
            cut = RATE // 10
            parts = steady[: len(steady) // cut * cut].reshape(-1, cut)
            levels = 10 * np.log10(np.mean(parts**2, axis=1) + 1e-12)
            middle = float(np.median(levels))
            drift = float(levels[-5:].mean() - levels[5:10].mean())
            off = cents_off(steady[-RATE:], 440.0)
            spread = f"{levels.min() - middle:+.1f}, {levels.max() - middle:+.1f}"
            print(f"| {instrument.sound} | {off:+.1f} | {drift:+.1f} | {spread} | {speed:.1f} |", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
