"""Measure how far apart two sounds are: the log spectral distance, per bin and per ear-like band.

Definition. Content below 20 Hz, which nobody hears, is taken out of both signals. They are cut into Hann windows of
2048 samples every 512 samples (at 48 kHz). Magnitudes are converted to dB with a floor 80 dB below the target's largest
bin or band. The distance of a frame is the root mean square, over all bins or bands, of the differences in dB. The
distance of two signals is the mean over the frames in which either of them is above the floor.

The floor is needed because a note's spectrum is mostly empty: without one, -140 dB against -160 dB would count as much
as a missing partial. 80 dB is about what is audible beside the loudest partial in a quiet room.

Per bin, the measure punishes noise for being random. Two independent noises of the same spectrum are 7.9 dB apart in
the bins that they fill, though they sound the same. So there are two smoothed forms, in which they are about 3.4 and
4.1 dB apart. Both add the powers of the bins of
a band before the logarithm, and give every band the same weight:

- `mel`: 64 bands, equally spaced on the mel scale.
- `thirds`: 29 bands of a third of an octave, from 32 Hz to 20 kHz.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Doubles

Smoothing = Literal["bins", "mel", "thirds"]

WINDOW_SECONDS = 2048 / 48000
FLOOR_DB = -80.0
_LOWEST_HZ = 20.0
_RINGING_SECONDS = 0.2
_MEL_BANDS = 64
_LOWEST_MEL_HZ = 30.0
_HIGHEST_HZ = 20000.0


def log_spectral_distance(
    target: NDArray[np.floating],
    result: NDArray[np.floating],
    sample_rate: float = 48000,
    smoothing: Smoothing = "bins",
    floor_db: float = FLOOR_DB,
) -> float:
    """Return the log spectral distance of two signals, in dB.

    Args:
        target: the signal that sets the floor, (samples,).
        result: the signal to compare, (samples,).
        sample_rate: of both, in Hz.
        smoothing: compare single bins, mel bands or thirds of an octave.
        floor_db: the floor, relative to the target's largest bin or band.

    Raises:
        ValueError: the signals have different lengths.
    """
    if target.shape != result.shape:
        raise ValueError(f"signals of different lengths: {target.shape} and {result.shape}")
    window = round(WINDOW_SECONDS * sample_rate)
    target, result = (without_infrasound(signal, sample_rate) for signal in (target, result))
    wanted = band_powers(target, sample_rate, window, smoothing)
    found = band_powers(result, sample_rate, window, smoothing)
    peak = wanted.max()
    if peak == 0.0:
        return 0.0 if found.max() == 0.0 else float("inf")
    floor = peak * 10 ** (floor_db / 10)
    audible = (wanted > floor).any(axis=1) | (found > floor).any(axis=1)
    difference = 10 * np.log10(np.maximum(wanted[audible], floor) / np.maximum(found[audible], floor))
    return float(np.sqrt((difference**2).mean(axis=1)).mean())


def without_infrasound(signal: NDArray[np.floating], sample_rate: float) -> Doubles:
    """Return a signal without what is below 20 Hz: samples have offsets, which fill the lowest bins.

    Args:
        signal: (samples,).
        sample_rate: in Hz.
    """
    size = len(signal) + round(_RINGING_SECONDS * sample_rate)
    spectrum = np.fft.rfft(signal, size)
    frequencies = np.arange(len(spectrum)) * sample_rate / size
    position = np.clip(frequencies / _LOWEST_HZ - 0.5, 0, 1)
    return np.asarray(np.fft.irfft(spectrum * np.sin(np.pi / 2 * position) ** 2, size)[: len(signal)])


def band_powers(
    signal: NDArray[np.floating], sample_rate: float, window: int, smoothing: Smoothing = "bins"
) -> Doubles:
    """Return the power of each frame in bins or bands, (frames, bands). Frames reach over both ends of the signal.

    Args:
        signal: (samples,).
        sample_rate: in Hz.
        window: samples of a frame; the hop is a quarter of it.
        smoothing: single bins, mel bands or thirds of an octave.
    """
    hop = window // 4
    count = len(signal) // hop + 4
    padded = np.zeros((count - 1) * hop + window)
    padded[window - hop : window - hop + len(signal)] = signal
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(window) + 0.5) / window)
    powers = np.abs(np.fft.rfft(frames * taper, axis=1)) ** 2
    if smoothing == "bins":
        return powers
    return powers @ _weights(smoothing, window, sample_rate).T


def _weights(smoothing: Smoothing, window: int, sample_rate: float) -> Doubles:
    """Return how much each bin adds to each band, (bands, bins). Narrow bands take at least their nearest bin."""
    frequencies = np.arange(window // 2 + 1) * sample_rate / window
    if smoothing == "thirds":
        centres = 1000 * 2 ** (np.arange(-15, 14) / 3)
        edges = np.concatenate((centres, centres[-1:] * 2 ** (1 / 3))) * 2 ** (-1 / 6)
    else:
        low, high = (2595 * np.log10(1 + f / 700) for f in (_LOWEST_MEL_HZ, min(_HIGHEST_HZ, sample_rate / 2)))
        edges = 700 * (10 ** (np.linspace(low, high, _MEL_BANDS + 1) / 2595) - 1)
    lower, upper = edges[:-1, None], edges[1:, None]
    # A bin counts as far as it lies in the band, so bands narrower than a bin are not empty.
    half = sample_rate / window / 2
    overlap = np.minimum(upper, frequencies + half) - np.maximum(lower, frequencies - half)
    return np.asarray(np.maximum(overlap, 0) / (2 * half))
