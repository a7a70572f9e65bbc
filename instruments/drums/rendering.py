"""Render a drum hit from its bands and sines: noise through bands, plus damped gliding sines.

One rendering leaks: windows smear attacks and edges of spectra, and one piece of noise is not exactly even. So the
first part of the hit is measured and rendered once more, with what was too much or too little in its bands taken back.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from instruments.drums.bands import BANDS, FLOOR_DB, RATE, SECONDS, band_hz, band_levels, frame_seconds, warp
from instruments.drums.sines import SLOTS, Sines, sine_levels
from neural_fx.arrays import Array

_LEAST_TONALITY = 0.1
_STEP = 32  # samples between the points of a sine's envelope and frequency
_FADE_SAMPLES = 240
_LOBE_HZ = 1.5 * RATE / 2048


class _Layer(NamedTuple):
    """A range of frequencies of the noise, and the length of its frames."""

    window: int
    low_hz: float
    high_hz: float


_LAYERS = (_Layer(1024, 0.0, 2000.0), _Layer(256, 2000.0, 24000.0))

_CORRECTED_SECONDS = 0.4  # later frames are long, so that their noise is even
_FADING_SECONDS = 0.1  # in which the correction ends
_MOST_LOWERED_DB = 12.0
_MOST_RAISED_DB = 2.0  # more would put audible noise beside steady tones
_ALIGNMENTS = 3


def render_hit(levels: Array, sines: Sines, seed: int = 0) -> Array:
    """Render a hit.

    Args:
        levels: (96, 144) levels in dB.
        sines: tones.
        seed: of the noise.

    Returns:
        (samples,) float32 at 48 kHz, with a peak of 1, up to where the levels become silent.
    """
    levels = levels - levels.max()
    floor = FLOOR_DB + 0.5
    sounding = np.flatnonzero((levels > floor).any(0))
    if not len(sounding):
        return np.zeros(_FADE_SAMPLES, np.float32)
    end = frame_seconds()[min(sounding[-1] + 1, levels.shape[1] - 1)]
    count = max(2 * _FADE_SAMPLES, round(end * RATE))
    quiet = np.where(levels > floor, levels, floor - 30.0).astype(np.float32)
    audio = _noise_and_sines(quiet, sines, count, seed)
    corrected = quiet + _correction(quiet, audio) * _noise_share(sines).astype(np.float32)  # tones stay steady
    early = min(count, round((_CORRECTED_SECONDS + _FADING_SECONDS) * RATE))
    audio[:early] = _noise_and_sines(corrected, sines, early, seed)
    audio[-_FADE_SAMPLES:] *= np.linspace(1, 0, _FADE_SAMPLES, dtype=np.float32)
    audio[:8] *= np.linspace(0.125, 1, 8, dtype=np.float32)
    peak = float(np.abs(audio).max())
    return np.asarray(audio / peak, np.float32) if peak > 0 else audio


def _noise_and_sines(levels: Array, sines: Sines, count: int, seed: int) -> Array:
    """Return the first (count,) samples of a hit, without fades. The levels of silent cells are below `FLOOR_DB`."""
    audio = _noise(_without_sines(levels, sines), count, seed)
    for slot in np.flatnonzero(sines.tonality >= _LEAST_TONALITY):
        _add_sine(audio, levels, sines, int(slot), FLOOR_DB + 0.5)
    return audio


def _correction(levels: Array, audio: Array) -> Array:
    """Return the (96, 144) dB that the first part of a hit lacks, on average over neighbouring cells.

    Args:
        levels: (96, 144) wanted levels in dB.
        audio: (samples,) as rendered from them.
    """
    seconds = frame_seconds()
    frames = int(np.searchsorted(seconds, _CORRECTED_SECONDS + _FADING_SECONDS))
    wanted = levels[:, :frames]
    # Half of the longest window follows the last frame.
    measured = band_levels(audio[: round(seconds[frames] * RATE) + 1024])[:, :frames]
    heard = wanted > FLOOR_DB
    offset = float(measured.max())  # how loud the hit is does not matter
    for _ in range(_ALIGNMENTS):
        both = heard & (measured > offset + FLOOR_DB)
        if both.any():
            offset += float((measured - offset - wanted)[both].mean())
    lacking = np.clip(wanted - np.maximum(measured - offset, FLOOR_DB), -_MOST_LOWERED_DB, _MOST_RAISED_DB)
    out = np.zeros_like(levels)
    out[:, :frames] = _smooth(lacking * heard)
    out[:, :frames] *= np.clip((_CORRECTED_SECONDS + _FADING_SECONDS - seconds[:frames]) / _FADING_SECONDS, 0, 1)
    return np.asarray(np.where(levels > FLOOR_DB, out, 0.0), np.float32)


def _smooth(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return (rows, columns) values averaged with their neighbours, which count half each."""
    for _ in range(2):
        padded = np.pad(values, ((1, 1), (0, 0)), mode="edge")
        values = (0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]).T
    return values


def _without_sines(levels: Array, sines: Sines) -> Array:
    """Return the levels of the noise, which has the power that the sines leave."""
    return np.asarray(levels + 10 * np.log10(_noise_share(sines)), np.float32)


def _noise_share(sines: Sines) -> NDArray[np.float64]:
    """Return the share of the power of each cell, (96, 144), that is noise."""
    left = np.ones((BANDS, len(frame_seconds())))
    seconds = frame_seconds()
    hz = band_hz()[:, None]
    width = np.maximum(2 * _LOBE_HZ, 0.12 * hz)
    for slot in range(SLOTS):
        if sines.tonality[slot] >= _LEAST_TONALITY:
            near = np.abs(hz - sines.hz(slot, seconds)[None]) < width
            left = np.where(near, np.minimum(left, 1.0 - 0.999 * sines.tonality[slot]), left)
    return left


def _noise(levels: Array, count: int, seed: int) -> Array:
    """Return noise whose bands have the given levels.

    Frames of Gaussian spectra overlap by half under a sine window. Its squares add up to 1, so the power is exact.
    """
    out = np.zeros(count, np.float32)
    for layer in _LAYERS:
        half = layer.window // 2
        frames = count // half + 2
        spectra = np.zeros((frames, half + 1), np.complex64)
        used = _layer_bins(layer)
        gains = _gains(levels, layer, frames)
        spectra[:, used] = gains * _gaussian(layer, seed % 16)[:frames]
        parts = np.fft.irfft(spectra, axis=1).astype(np.float32) * _sine_window(layer.window)
        joined = parts[:-1, half:] + parts[1:, :half]
        out += joined.reshape(-1)[:count]
    return out


def _gains(levels: Array, layer: _Layer, frames: int) -> Array:
    """Return (frames, bins) gains for a layer, from levels at the middle of each frame."""
    times = np.arange(frames) * (layer.window // 2) / RATE
    at = np.interp(times, frame_seconds(), np.arange(levels.shape[1]))
    first = np.minimum(at.astype(int), levels.shape[1] - 2)
    share = (at - first).astype(np.float32)
    bands = levels[:, first] * (1 - share) + levels[:, first + 1] * share
    decibels = bands.T @ _bin_weights(layer)
    return np.asarray(np.exp(decibels * (np.log(10) / 20)), np.float32)


@cache
def _layer_bins(layer: _Layer) -> NDArray[np.intp]:
    hz = np.arange(layer.window // 2 + 1) * RATE / layer.window
    return np.flatnonzero((hz >= max(layer.low_hz, 10.0)) & (hz < layer.high_hz))


@cache
def _bin_weights(layer: _Layer) -> Array:
    """Return (96, bins) weights that interpolate the bands in dB at the bins of a layer."""
    hz = _layer_bins(layer) * RATE / layer.window
    points = np.clip(np.interp(warp(hz), warp(band_hz()), np.arange(BANDS)), 0, BANDS - 1)
    weights = np.maximum(0, 1 - np.abs(np.arange(BANDS)[:, None] - points[None]))
    return np.asarray(weights, np.float32)


@cache
def _gaussian(layer: _Layer, seed: int) -> NDArray[np.complex64]:
    """Return spectra of white noise of variance 1 for the longest hit."""
    frames = round(SECONDS * RATE) // (layer.window // 2) + 3
    random = np.random.default_rng([seed, layer.window])
    shape = (frames, len(_layer_bins(layer)), 2)
    parts = random.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(layer.window / 2))
    return parts.view(np.complex64)[..., 0]


@cache
def _sine_window(size: int) -> Array:
    return np.asarray(np.sin(np.pi * (np.arange(size) + 0.5) / size), np.float32)


def _add_sine(audio: Array, levels: Array, sines: Sines, slot: int, floor: float) -> None:
    """Add one sine, whose amplitude follows the bands at its frequency."""
    seconds = frame_seconds()
    bands = np.interp(warp(sines.hz(slot, seconds)), warp(band_hz()), np.arange(BANDS))
    first = np.minimum(bands.astype(int), BANDS - 2)
    share = bands - first
    columns = np.arange(levels.shape[1])
    level = levels[first, columns] * (1 - share) + levels[first + 1, columns] * share
    unit = sine_levels()
    level = level - (unit[first] * (1 - share) + unit[first + 1] * share) + 10 * np.log10(sines.tonality[slot])
    audible = np.flatnonzero(level > floor - unit.max())
    if not len(audible):
        return
    end = seconds[min(audible[-1] + 1, len(seconds) - 1)]
    points = np.arange(0, min(round(end * RATE), len(audio)) + 2 * _STEP, _STEP)
    amplitude = 10 ** (np.interp(points / RATE, seconds, level) / 20)
    phase = np.concatenate(([0.0], np.cumsum(sines.hz(slot, points[:-1] / RATE)))) * (2 * np.pi * _STEP / RATE)
    count = min(len(audio), points[-1])
    audio[:count] += _between(amplitude, count) * np.sin(_between(phase, count))


def _between(values: NDArray[np.floating], count: int) -> Array:
    """Return samples on straight lines between points that are `_STEP` samples apart."""
    share = (np.arange(_STEP) / _STEP)[None]
    lines = values[:-1, None] * (1 - share) + values[1:, None] * share
    return np.asarray(lines.reshape(-1)[:count], np.float32)
