"""Measure how a wet recording is aligned with its dry one: latency, polarity and clock drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Audio
from neural_fx.training.latency import find_latency


@dataclass(frozen=True)
class Alignment:
    """Alignment of a wet recording with its dry one.

    Attributes:
        latency: samples by which the wet recording is late; negative if it is early.
        inverted: whether its polarity is inverted.
        drift_ppm: by how much it is too long, in parts per million; 0 if that is under 8 samples in all.
        correlation: normalised correlation at the best lag, 0 to 1.
        steady: share of the pieces along the recording whose lag agrees with that of their neighbours, 0 to 1. Near 0
            for unrelated recordings.
        clear: whether the latency can be trusted.
        exact: whether it can be trusted to the sample.
    """

    latency: int
    inverted: bool
    drift_ppm: float
    correlation: float
    steady: float
    clear: bool
    exact: bool = True


def align(dry: Audio, wet: Audio, rate: int) -> Alignment:
    """Measure latency, polarity and clock drift of a wet recording.

    The drift is the slope of the best lags of half-second pieces along the recording. If the clocks differ, the
    latency is only approximate. Correct the drift and call this again.

    Args:
        dry, wet: audio, (samples,) each.
        rate: their sample rate in Hz.

    Returns:
        The alignment.
    """
    loudest = _loudest(dry[: min(len(dry), len(wet))], 2 * rate)
    search = max(0, loudest.start - rate)
    coarse, height, sign = _peak(dry[loudest], wet[search : loudest.stop + rate])
    coarse += search - loudest.start
    drift, steady = _drift(dry, wet, rate, coarse, height)
    if drift:
        return Alignment(round(coarse), sign < 0, 1e6 * drift, height, steady, True)
    found = find_latency([(dry, wet)], rate)
    # Plain correlation is too coarse to measure the latency, but it confirms an estimate independently.
    witnessed = steady >= 0.5 and abs(found.samples - coarse) <= 64 and found.clarity >= 2
    clear = found.clear or witnessed
    return Alignment(found.samples, found.inverted, 0.0, height, steady, clear, found.exact)


def _drift(dry: Audio, wet: Audio, rate: int, coarse: float, height: float) -> tuple[float, float]:
    """Return the share by which the wet recording is too long, and the share of pieces that agree with neighbours."""
    n = min(len(dry), len(wet))
    piece = rate // 2
    margin = 1024
    places = []
    starts = []
    expected = 0.0
    tried = 0
    steady = 0
    for start in range(margin, n - piece - margin, rate):
        at = start + round(coarse + expected) - margin
        if at < 0 or at + piece + 2 * margin > len(wet):
            continue
        place, strength, _ = _peak(dry[start : start + piece], wet[at : at + piece + 2 * margin])
        place += at - start - coarse
        tried += 1
        steady += abs(place - expected) < 4
        if strength > 0.5 * height and abs(place - expected) < margin:
            expected = place
            places.append(place)
            starts.append(start)
    drift = _slope(np.array(starts), np.array(places)) if len(places) >= 20 else 0.0
    if not 8 / n < abs(drift) < 0.005:
        drift = 0.0
    return drift, steady / max(tried, 1)


def _loudest(signal: Audio, length: int) -> slice:
    """Return the slice of `length` samples with the most energy, on a grid of half its length."""
    starts = range(0, max(1, len(signal) - length + 1), max(1, length // 2))
    best = max(starts, key=lambda at: float(np.sum(np.square(signal[at : at + length], dtype=np.float64))))
    return slice(best, min(len(signal), best + length))


def _slope(starts: NDArray[np.int64], places: NDArray[np.float64]) -> float:
    """Return the slope of a line through most of the lags; 0 if they are not on a line."""
    kept = np.ones(len(places), bool)
    for _ in range(5):
        line = np.polyfit(starts[kept], places[kept], 1)
        distance = np.abs(np.polyval(line, starts) - places)
        kept = distance <= max(1.0, 2 * float(np.median(distance)))
    return float(line[0]) if kept.mean() > 0.5 and np.median(distance) < 2 else 0.0


def _peak(dry: Audio, wet: Audio) -> tuple[float, float, float]:
    """Return the best lag between two signals, its normalised correlation, and the sign of the correlation.

    Correlates the differences of successive samples, which gives a sharper peak.
    """
    x, y = (np.diff(s.astype(np.float64), prepend=s[0]) for s in (dry, wet))
    size = 1 << (len(x) + len(y) - 1).bit_length()
    correlation = np.fft.irfft(np.conj(np.fft.rfft(x, size)) * np.fft.rfft(y, size))
    peak = int(np.abs(correlation).argmax())
    around = np.abs(correlation[[peak - 1, peak, (peak + 1) % size]])
    bend = around[0] - 2 * around[1] + around[2]
    fine = 0.5 * (around[0] - around[2]) / bend if bend else 0.0
    height = float(around[1] / max(np.sqrt((x @ x) * (y @ y)), 1e-12))
    return (peak - size if peak > size // 2 else peak) + float(fine), height, float(np.sign(correlation[peak]))
