"""Describe a drum hit by the levels of 96 bands in 144 frames.

Bands are spaced by log(1 + f / 100 Hz), so they are narrow in the bass. Frames are dense at the onset and sparse at
the end: 3 ms apart at the beginning and 70 ms in the tail. A level is the power spectral density in dB, so white noise
of variance 1 has 0 dB in all bands.

Three window lengths are used, because an attack in the treble needs a short one and a note in the bass a long one. A
window that reaches over the onset is normalised by its part after the onset. Otherwise every attack would be smeared.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Array

RATE = 48000
BANDS = 96
FRAMES = 144
SECONDS = 3.0
FLOOR_DB = -66.0
"""Levels below this are silence. A hit's loudest cell has 0 dB: how loud it plays is not part of its sound."""

LOWEST_HZ, HIGHEST_HZ = 20.0, 20000.0
_BEND_HZ = 100.0  # below this, bands are spaced evenly in Hz
_FIRST_STEP = 128 / RATE  # seconds between the first two frames
MOST_MATCHED_DB = 12.0
"""Gains that `matched_distance` tries, in steps of 1 dB."""

_TINY = 1e-12
_SMOOTHING = 0.06  # of a window: how far in time decoded levels are smoothed


class Resolution(NamedTuple):
    """A window length, and the bands that it serves.

    Attributes:
        window: samples.
        hop: samples between two windows.
        low_hz, high_hz: range of frequencies.
    """

    window: int
    hop: int
    low_hz: float
    high_hz: float


RESOLUTIONS = (
    Resolution(2048, 256, 0.0, 400.0),
    Resolution(1024, 256, 400.0, 2000.0),
    Resolution(256, 128, 2000.0, 24000.0),
)


def warp(hz: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Convert frequencies in Hz to the scale on which bands are evenly spaced."""
    return np.log1p(np.asarray(hz, float) / _BEND_HZ)


@cache
def band_hz() -> NDArray[np.float64]:
    """Return the (96,) centre frequencies of the bands in Hz."""
    points = np.linspace(warp(LOWEST_HZ), warp(HIGHEST_HZ), BANDS)
    return np.asarray(_BEND_HZ * np.expm1(points))


@cache
def frame_seconds() -> NDArray[np.float64]:
    """Return the (144,) times of the frames in seconds. Each step is longer than the one before by one factor."""
    low, high = 1.0, 1.1
    for _ in range(60):  # bisection for the factor that ends at SECONDS
        factor = (low + high) / 2
        end = _FIRST_STEP * (factor ** (FRAMES - 1) - 1) / (factor - 1)
        low, high = (factor, high) if end < SECONDS else (low, factor)
    return np.asarray(_FIRST_STEP * (factor ** np.arange(FRAMES) - 1) / (factor - 1))


def band_levels(audio: Array) -> Array:
    """Measure a hit.

    Args:
        audio: (samples,) at 48 kHz, beginning at the onset. What follows after 3 s is ignored.

    Returns:
        (96, 144) levels in dB. `limited` makes them independent of the hit's loudness.
    """
    audio = audio[: round((SECONDS + 0.1) * RATE)]
    power = np.zeros((BANDS, FRAMES))
    for resolution in RESOLUTIONS:
        bins = _spectral_density(audio, resolution)
        frames = _frame_weights(resolution)[:, : bins.shape[0]] @ bins
        power += _band_weights(resolution) @ frames.T
    return (10 * np.log10(power + _TINY)).astype(np.float32)


def _spectral_density(audio: Array, resolution: Resolution) -> Array:
    """Return the (windows, bins) power spectral density of windows that are centred on 0, hop, 2 hop and so on."""
    half = resolution.window // 2
    windows = 1 + round(SECONDS * RATE) // resolution.hop
    needed = (windows - 1) * resolution.hop + 2 * half
    padded = np.zeros(needed, np.float32)
    part = audio[: needed - half]
    padded[half : half + len(part)] = part
    shape, after_onset = _window(resolution)
    used = min(windows, 1 + (len(part) + half) // resolution.hop)  # those that hold any sound
    view = np.lib.stride_tricks.sliding_window_view(padded, resolution.window)[:: resolution.hop][:used]
    spectra = np.fft.rfft(view * shape)
    power = spectra.real**2 + spectra.imag**2
    return np.asarray(power / after_onset[:used, None], np.float32)


@cache
def _window(resolution: Resolution) -> tuple[Array, Array]:
    """Return a Hann window, and for each position the energy of its part after the onset."""
    half = resolution.window // 2
    shape = np.hanning(resolution.window + 1)[:-1].astype(np.float32)
    windows = 1 + round(SECONDS * RATE) // resolution.hop
    energy = np.cumsum(shape[::-1].astype(float) ** 2)  # of the last n samples
    after = np.minimum(half + np.arange(windows) * resolution.hop, resolution.window)
    return shape, energy[after - 1].astype(np.float32)


@cache
def _frame_weights(resolution: Resolution) -> Array:
    """Return (144, windows) weights that average windows to frames, as triangles between the neighbouring frames."""
    at = frame_seconds()
    times = np.arange(1 + round(SECONDS * RATE) // resolution.hop) * resolution.hop / RATE
    step = resolution.hop / RATE
    before = np.maximum(np.diff(at, prepend=at[0] - _FIRST_STEP), step)[:, None]
    after = np.maximum(np.diff(at, append=at[-1] + (at[-1] - at[-2])), step)[:, None]
    distance = times[None] - at[:, None]
    weights = np.maximum(0, 1 - np.where(distance < 0, -distance / before, distance / after))
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


@cache
def _band_weights(resolution: Resolution) -> Array:
    """Return (96, bins) weights that average bins to bands, zero for bands of other resolutions."""
    hz = np.arange(resolution.window // 2 + 1) * RATE / resolution.window
    centres = band_hz()
    step = warp(centres[1]) - warp(centres[0])
    # A triangle is at least as wide as two bins, so that narrow bands interpolate between bins.
    width = np.maximum(step * (centres + _BEND_HZ), RATE / resolution.window)[:, None]
    weights = np.maximum(0, 1 - np.abs(hz[None] - centres[:, None]) / width)
    weights = weights / np.maximum(weights.sum(1, keepdims=True), _TINY)
    served = (centres >= resolution.low_hz) & (centres < resolution.high_hz)
    return np.asarray(weights * served[:, None], np.float32)


@cache
def frame_smoothing() -> tuple[tuple[slice, Array], ...]:
    """Return ranges of bands, each with a (144, 144) matrix that smooths levels over frames as ``levels @ matrix``.

    Neighbouring frames share most of a long window, so measured levels never jump between them. Decoded levels can.
    Where frames are further apart than windows, and in the treble, the matrices change nothing.
    """
    seconds = frame_seconds()
    duration = np.gradient(seconds)
    found = []
    for resolution in RESOLUTIONS:
        first, last = np.searchsorted(band_hz(), (resolution.low_hz, resolution.high_hz))
        width = _SMOOTHING * resolution.window / RATE
        weights = np.exp(-0.5 * ((seconds[:, None] - seconds[None]) / width) ** 2) * duration[:, None]
        found.append((slice(int(first), int(last)), np.asarray(weights / weights.sum(0), np.float32)))
    return tuple(found)


def smoothed(levels: NDArray[np.floating], backwards: bool = False) -> Array:
    """Smooth (96, 144) levels over frames, as `frame_smoothing` describes.

    Args:
        levels: in dB.
        backwards: whether to return the gradient by the levels, from the gradient by the smoothed levels.
    """
    parts = [levels[bands] @ (matrix.T if backwards else matrix) for bands, matrix in frame_smoothing()]
    return np.asarray(np.concatenate(parts), np.float32)


def limited(levels: NDArray[np.floating]) -> Array:
    """Return levels relative to the loudest cell, and not below `FLOOR_DB`."""
    return np.asarray(np.maximum(levels - levels.max(), FLOOR_DB), np.float32)


def level_distance(first: Array, second: Array) -> float:
    """Return the log-spectral distance of two hits in dB.

    It is the root mean square over the bands, averaged over the frames in which either hit sounds.

    Args:
        first, second: (96, 144) levels in dB, as `limited` returns.
    """
    sounding = np.flatnonzero((first > FLOOR_DB).any(0) | (second > FLOOR_DB).any(0))
    if not len(sounding):
        return 0.0
    return float(np.sqrt(((first - second)[:, sounding] ** 2).mean(0)).mean())


def matched_distance(first: Array, second: Array) -> float:
    """Return the least `level_distance` of two hits over the gain of the first one.

    `limited` sets the gain by the loudest cell alone, which one narrow peak can move.

    Args:
        first, second: (96, 144) levels in dB.
    """
    relative, reference = first - first.max(), limited(second)
    gains = np.arange(-MOST_MATCHED_DB, MOST_MATCHED_DB + 0.5)
    return min(level_distance(np.maximum(relative + gain, FLOOR_DB).astype(np.float32), reference) for gain in gains)
