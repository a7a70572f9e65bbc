"""Describe the tones of a drum hit: at most one gliding sine in each octave.

The frequency of a sine is ``end_hz * 2 ** (glide * exp(-t / time))``. Its level follows the bands at its frequency. The
tonality says which part of the power there belongs to the sine. The rest is noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from instruments.drums.bands import RATE, RESOLUTIONS, band_hz, warp
from neural_fx.arrays import Array

SLOTS = 8
SLOT_HZ = 40.0 * 2.0 ** np.arange(SLOTS)
"""Lower end of each octave."""

GLIDE_TIMES = np.array([0.006, 0.015, 0.04, 0.1])
"""Time constants that the analysis tries, in seconds."""

_WINDOW = 2048
_HOP = 256
_MOST_WINDOWS = 120  # about 0.6 s, in which every drum's pitch is settled
_LOBE_BINS = 2
_AROUND_BINS = 6
_NOISE_RATIO, _SINE_RATIO = 0.5, 0.9  # of the power near a peak that lies in its lobe
_RANGE_DB = 40.0


@dataclass
class Sines:
    """The sines of a hit, one per octave.

    Attributes:
        end_hz: (8,) settled frequencies in Hz.
        glide: (8,) octaves above the settled frequency at the onset.
        time: (8,) time constants of the glides in seconds.
        tonality: (8,) 0..1, share of the power at the frequency. 0 is no sine.
    """

    end_hz: NDArray[np.float64]
    glide: NDArray[np.float64]
    time: NDArray[np.float64]
    tonality: NDArray[np.float64]

    def vector(self) -> NDArray[np.float64]:
        """Return the (32,) numbers that a network learns: place within the octave, glide, log time, tonality."""
        place = np.log2(self.end_hz / SLOT_HZ)
        return np.concatenate((place, self.glide, np.log(self.time), self.tonality))

    @classmethod
    def from_vector(cls, vector: NDArray[np.floating]) -> Sines:
        """Return the sines that `vector` describes, with all values in their ranges."""
        place, glide, time, tonality = np.asarray(vector, float).reshape(4, SLOTS)
        return cls(
            end_hz=SLOT_HZ * 2 ** np.clip(place, 0, 1),
            glide=np.clip(glide, -1, 3),
            time=np.exp(np.clip(time, np.log(GLIDE_TIMES[0]), np.log(GLIDE_TIMES[-1]))),
            tonality=np.clip(tonality, 0, 1),
        )

    def hz(self, slot: int, seconds: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the frequency of one sine at some times after the onset."""
        octaves = self.glide[slot] * np.exp(-seconds / self.time[slot])
        return np.asarray(self.end_hz[slot] * 2**octaves)


def find_sines(audio: Array) -> Sines:
    """Measure the sines of a hit.

    Args:
        audio: (samples,) at 48 kHz, beginning at the onset.
    """
    padded = np.zeros(_WINDOW // 2 + max(len(audio), _WINDOW) + _WINDOW, np.float32)
    padded[_WINDOW // 2 : _WINDOW // 2 + len(audio)] = audio
    view = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP][:_MOST_WINDOWS]
    spectra = np.fft.rfft(view * np.hanning(_WINDOW + 1)[:-1])
    power = spectra.real**2 + spectra.imag**2  # (windows, bins)
    found = Sines(SLOT_HZ * np.sqrt(2), np.zeros(SLOTS), np.full(SLOTS, GLIDE_TIMES[2]), np.zeros(SLOTS))
    for slot in range(SLOTS):
        _fit_slot(power, slot, found)
    return found


def _fit_slot(power: NDArray[np.floating], slot: int, found: Sines) -> None:
    """Fit the strongest sine that settles in an octave."""
    low = max(1, round(SLOT_HZ[slot] * _WINDOW / RATE))
    high = round(2 * SLOT_HZ[slot] * _WINDOW / RATE) + 1
    octave = power[:, low:high]
    peak_bins = low + octave.argmax(1)
    rows_of_all = np.arange(len(power))
    strengths = octave.max(1)
    # The strongest bin may be at the edge because it belongs to a sine in the next octave.
    is_peak = strengths >= np.maximum(power[rows_of_all, peak_bins - 1], power[rows_of_all, peak_bins + 1])
    if strengths[is_peak].sum() < 0.5 * strengths.sum():
        return
    strengths = np.where(is_peak, strengths, 0.0)
    used = np.flatnonzero(strengths > strengths.max() * 10 ** (-_RANGE_DB / 10))
    if strengths.max() <= power.max() * 10 ** (-60 / 10) or len(used) < 3:
        return
    rows = peak_bins[used]
    exact = rows + _peak_offset(power[used, rows - 1], power[used, rows], power[used, rows + 1])
    octaves = np.log2(exact * RATE / _WINDOW / SLOT_HZ[slot])
    weights = np.sqrt(strengths[used])
    seconds = used * _HOP / RATE
    best_error = np.inf
    for time in GLIDE_TIMES:
        # The window sees the mean of the glide over its length, from the onset on.
        curve = np.exp(-np.maximum(seconds, _WINDOW / RATE / 4) / time)
        end, glide = _line(curve, octaves, weights)
        glide = float(np.clip(glide, 0, 3))
        end = float(np.average(octaves - glide * curve, weights=weights))
        error = float(np.average((octaves - end - glide * curve) ** 2, weights=weights))
        if error < best_error - 1e-6:
            best_error = error
            found.end_hz[slot] = SLOT_HZ[slot] * 2 ** np.clip(end, 0, 1)
            found.glide[slot], found.time[slot] = glide, time
    found.tonality[slot] = _tonality(power[used], found.hz(slot, seconds))


def _peak_offset(left: NDArray[np.floating], middle: NDArray[np.floating], right: NDArray[np.floating]) -> Array:
    """Return the offset of peaks from their middle bin, by parabolas through log powers."""
    a, b, c = (np.log(part + 1e-20) for part in (left, middle, right))
    bend = a - 2 * b + c
    return np.asarray(np.clip(0.5 * (a - c) / np.where(np.abs(bend) < 1e-9, 1e-9, bend), -0.5, 0.5))


def _line(x: NDArray[np.floating], y: NDArray[np.floating], weights: NDArray[np.floating]) -> tuple[float, float]:
    """Return offset and slope of a weighted least-squares line."""
    x_mean = np.average(x, weights=weights)
    y_mean = np.average(y, weights=weights)
    slope = (weights * (x - x_mean) * (y - y_mean)).sum() / ((weights * (x - x_mean) ** 2).sum() + 1e-9)
    return float(y_mean - slope * x_mean), float(slope)


def _tonality(power: NDArray[np.floating], hz: NDArray[np.floating]) -> float:
    """Return how much of the power near a track lies in the main lobe of a sine: 0 for noise, 1 for a sine."""
    centres = np.clip(np.round(hz * _WINDOW / RATE).astype(int), 1, power.shape[1] - 2)
    offsets = np.arange(-_AROUND_BINS, _AROUND_BINS + 1)
    columns = np.clip(centres[:, None] + offsets, 0, power.shape[1] - 1)
    near = np.take_along_axis(power, columns, 1)
    lobe = near[:, np.abs(offsets) <= _LOBE_BINS].sum()
    ratio = float(lobe / (near.sum() + 1e-20))
    return float(np.clip((ratio - _NOISE_RATIO) / (_SINE_RATIO - _NOISE_RATIO), 0, 1))


@cache
def sine_levels() -> NDArray[np.float64]:
    """Return the (96,) level in dB that each band shows for a sine of amplitude 1 at its centre."""
    hz = band_hz()
    levels = np.zeros(len(hz))
    for resolution in RESOLUTIONS:
        served = (hz >= resolution.low_hz) & (hz < resolution.high_hz)
        bin_hz = RATE / resolution.window
        width = np.maximum((warp(hz[1]) - warp(hz[0])) * (hz + 100.0), bin_hz)
        # A Hann window puts a sine's power of 1/4 into 1.5 bins. A wider band averages it with silence.
        density = resolution.window / 4 / 1.5
        spread = np.minimum(1.0, 1.5 * bin_hz / width)
        levels[served] = 10 * np.log10(density * spread)[served]
    return levels
