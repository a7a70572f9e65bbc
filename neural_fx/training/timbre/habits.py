"""Measure how an instrument is played in recordings: register, dynamics, attacks, releases and vibrato."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from neural_fx.arrays import Numbers
from neural_fx.errors import TrainingError
from neural_fx.timbre.analysis import HOP, RATE, Analysis
from neural_fx.timbre.files import Habits
from neural_fx.training.timbre.recordings import Solo

FRAME = HOP / RATE
_BLUR = 0.02
"""Seconds that the analysis window adds to every attack."""


def find_habits(solos: Sequence[Solo]) -> Habits:
    """Measure the habits of recordings: percentiles of pitch and loudness, and medians over notes.

    Args:
        solos: the recordings.

    Raises:
        TrainingError: the recordings have no tones.
    """
    played = [a.voiced & (a.loudness_db > a.loudness_db.max() - 50) for a in (s.analysis for s in solos)]
    f0 = np.array([np.median(s.analysis.f0_hz[a:b]) for s in solos for a, b in notes(s.analysis, 0.1)])
    loudness = np.concatenate([s.analysis.loudness_db[p] for s, p in zip(solos, played, strict=True)])
    if not len(f0):
        raise TrainingError("no tones in the recordings")
    low, high = np.percentile(f0, (5, 95))  # double stops put some estimates an octave too low
    quiet, usual, loud = np.percentile(loudness, (10, 50, 90))
    attacks, slopes, rates, depths = [], [], [], []
    for solo in solos:
        for begin, end in notes(solo.analysis):
            attacks += _attack(solo.analysis.loudness_db, begin, end)
            slopes += _release(solo.analysis.loudness_db, begin, end)
            for rate, depth in _vibrato(solo.analysis.f0_hz[begin:end]):
                rates.append(rate)
                depths.append(depth)
    attack = float(np.median(attacks)) if attacks else 0.05
    return Habits(
        float(low),
        float(max(high, low * 1.01)),
        float(quiet),
        float(usual),
        float(loud),
        float(np.sqrt(max(attack**2 - _BLUR**2, 0.008**2))),
        float(np.clip(np.median(slopes) if slopes else 200, 60, 1000)),
        float(np.median(rates)) if rates else 5.5,
        float(np.clip(np.median(depths), 0, 60)) if depths else 0.0,
    )


def notes(analysis: Analysis, shortest: float = 0.3) -> Iterator[tuple[int, int]]:
    """Yield the ranges of frames with a clear pitch that does not leap: first frame, and frame after the last.

    Args:
        analysis: pitch, confidence and loudness.
        shortest: shortest range in seconds.
    """
    steps = np.abs(np.diff(np.log2(analysis.f0_hz), prepend=np.log2(analysis.f0_hz[0])))
    steady = analysis.voiced & (steps < 0.03)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], steady.astype(int), [0]))))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if (end - begin) * FRAME >= shortest:
            yield int(begin), int(end)


def _attack(loudness: Numbers, begin: int, end: int) -> list[float]:
    """Return the seconds from 20 dB to 3 dB below a note's level; nothing if the note does not begin that low."""
    level = np.median(loudness[begin + 25 : begin + 125]) if end - begin > 50 else loudness[begin:end].max()
    full = begin + int(np.argmax(loudness[begin:end] >= level - 3))
    before = np.flatnonzero(loudness[max(0, full - 125) : full] < level - 20)
    return [] if not len(before) else [(full - max(0, full - 125) - before[-1]) * FRAME]


def _release(loudness: Numbers, begin: int, end: int) -> list[float]:
    """Return the slope in dB per second from 5 to 25 dB below a note's level; nothing if it does not fall that low."""
    level = np.median(loudness[begin:end])
    last = begin + int(np.flatnonzero(loudness[begin:end] >= level - 5)[-1])
    low = np.flatnonzero(loudness[last : last + 250] < level - 25)
    return [20 / (low[0] * FRAME)] if len(low) else []


def _vibrato(f0: Numbers) -> list[tuple[float, float]]:
    """Return the rate in Hz (4 to 8) and the depth in cents of a note's vibrato; nothing for notes under 0.6 s."""
    if len(f0) * FRAME < 0.6:
        return []
    cents = 1200 * np.log2(f0[25:-10] / np.median(f0))
    t = np.arange(len(cents))
    cents = cents - np.polyval(np.polyfit(t, cents, 2), t)
    spectrum = np.abs(np.fft.rfft(cents * np.hanning(len(cents)), 4096)) ** 2
    hz = np.fft.rfftfreq(4096, FRAME)
    band = (hz >= 4) & (hz <= 8)
    share = spectrum[band].sum() / max(float(spectrum.sum()), 1e-12)
    return [(float(hz[band][spectrum[band].argmax()]), float(np.sqrt(2 * share * np.mean(cents**2))))]
