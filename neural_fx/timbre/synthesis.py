"""Turn a decoder's frames into audio: harmonics plus filtered noise (DDSP, Engel et al. 2020).

These are pure functions on arrays whose first dimension is the voice. Frames are `HOP` samples apart. Harmonic
amplitudes move in straight lines from frame to frame, and the noise filter changes with each frame. Harmonics near the
Nyquist frequency are faded out, so that none is aliased.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Numbers
from neural_fx.engines import cpu
from neural_fx.timbre.analysis import HOP, RATE, a_weight

BANDS = 65
"""Noise magnitudes per frame, evenly spaced from 0 Hz to the Nyquist frequency."""
TAPS = 2 * (BANDS - 1)
"""Length of the noise filter. It delays by half of that."""
FADE_HZ = (19000.0, 22000.0)
"""Harmonics fade out between these."""


def _basis() -> Numbers:
    """Return the matrix (BANDS, TAPS) from magnitudes to the taps of a linear-phase filter with a Hann window."""
    taps = np.roll(np.fft.irfft(np.eye(BANDS), axis=-1), TAPS // 2, axis=-1)
    return np.ascontiguousarray(taps * np.hanning(TAPS + 1)[:-1], np.float32)


BASIS = _basis()
"""From magnitudes to the taps of the noise filter: (BANDS, TAPS)."""
BAND_KILOHERTZ = np.linspace(0.1, 24, BANDS, dtype=np.float32)
"""Frequencies of the bands, by which `brightness` tilts them."""
_SIZE = 512  # holds a hop convolved with the filter
_BAND_WEIGHTS = a_weight(np.linspace(0, RATE / 2, BANDS)).astype(np.float32)
NOISE_POWER = 1 / 3
"""Power of the white noise before the filter: uniform on -1..1."""


def turns(f0_hz: Numbers, start: Numbers) -> tuple[Numbers, Numbers]:
    """Compute the phase of the fundamental.

    Args:
        f0_hz: (voices, hops + 1), frequency in Hz at each frame. It moves in straight lines between them.
        start: (voices,), phase in turns at the first sample.

    Returns:
        (voices, hops * HOP) float64, phases in turns within [0, 1), and (voices,), the next phase.
    """
    f0 = np.asarray(f0_hz, np.float64) / RATE
    at = np.arange(HOP + 1, dtype=np.float64)
    # the sum of a straight line, from the frame to the sample before this one
    steps = f0[:, :-1, None] * at + (f0[:, 1:] - f0[:, :-1])[..., None] * (at * (at - 1) / (2 * HOP))
    begin = np.concatenate((np.zeros((len(f0), 1)), np.cumsum(steps[:, :, -1], 1)), 1) + start[:, None]
    begin -= np.floor(begin)
    phases = (begin[:, :-1, None] + steps[:, :, :-1]).reshape(len(f0), -1)
    return phases - np.floor(phases), begin[:, -1]


def audible(f0_hz: Numbers, count: int) -> Numbers:
    """Return the gains that fade out harmonics before they are aliased.

    Args:
        f0_hz: (...), the fundamental in Hz.
        count: number of harmonics.

    Returns:
        (..., count): 1 for harmonics below `FADE_HZ`, 0 above, a slope between.
    """
    hz = np.asarray(f0_hz, np.float32)[..., None] * np.arange(1, count + 1, dtype=np.float32)
    low, high = FADE_HZ
    return np.asarray(np.clip((high - hz) / (high - low), 0, 1), np.float32)


def harmonics(phases: Numbers, amplitudes: Numbers) -> NDArray[np.float32]:
    """Sum the sines of all harmonics.

    Args:
        phases: (voices, hops * HOP) float64, of the fundamental, in turns.
        amplitudes: (voices, hops + 1, harmonics), linear, at the frames.

    Returns:
        (voices, hops * HOP).
    """
    amplitudes = np.ascontiguousarray(amplitudes, np.float32)
    if cpu.available():
        out = np.empty(phases.shape, np.float32)
        cpu.core.harmonics(np.ascontiguousarray(phases), amplitudes, out)
        return out
    # The sine of harmonic k is the imaginary part of the fundamental's phasor to the power of k.
    base = np.exp(2j * np.pi * phases.reshape(len(phases), -1, HOP)).astype(np.complex64)
    way = (np.arange(HOP, dtype=np.float32) / HOP)[None, None]
    total, point = np.zeros(base.shape, np.float32), base.copy()
    for k in range(amplitudes.shape[2]):
        before, after = amplitudes[:, :-1, k, None], amplitudes[:, 1:, k, None]
        total += (before + (after - before) * way) * point.imag
        point *= base
    return total.reshape(phases.shape)


def harmonics_adjoint(phases: Numbers, audio: Numbers, count: int) -> NDArray[np.float32]:
    """Return the gradient of a loss with respect to the amplitudes of `harmonics`.

    Args:
        phases: (voices, hops * HOP) float64, of the fundamental, in turns.
        audio: (voices, hops * HOP), the gradient with respect to the audio.
        count: number of harmonics.

    Returns:
        (voices, hops + 1, harmonics).
    """
    hops = phases.shape[1] // HOP
    gradients = np.zeros((len(phases), hops + 1, count), np.float32)
    if cpu.available():
        cpu.core.harmonics_adjoint(np.ascontiguousarray(phases), np.ascontiguousarray(audio, np.float32), gradients)
        return gradients
    base = np.exp(2j * np.pi * phases.reshape(len(phases), hops, HOP)).astype(np.complex64)
    way = (np.arange(HOP, dtype=np.float32) / HOP)[None, None]
    d, point = np.asarray(audio, np.float32).reshape(base.shape), base.copy()
    for k in range(count):
        part = d * point.imag
        later = (part * way).sum(2)
        gradients[:, 1:, k] += later
        gradients[:, :-1, k] += part.sum(2) - later
        point *= base
    return gradients


def filtered_noise(
    magnitudes: Numbers, white: Numbers, tail: Numbers
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Filter each hop of noise with a zero-phase filter of its own, made causal by a delay of TAPS / 2 samples.

    Args:
        magnitudes: (voices, hops, BANDS), linear.
        white: (voices, hops, HOP), white noise.
        tail: (voices, TAPS), what earlier hops still add.

    Returns:
        (voices, hops * HOP) audio and the new tail.
    """
    voices, hops, _ = magnitudes.shape
    out = np.zeros((voices, hops * HOP + TAPS), np.float32)
    if cpu.available():
        magnitudes = np.ascontiguousarray(magnitudes, np.float32)
        white = np.ascontiguousarray(white, np.float32)
        tail = np.array(tail, np.float32, order="C")
        audio = np.empty((voices, hops, HOP), np.float32)
        cpu.core.filtered_noise(BASIS, magnitudes, white, tail, audio)
        return audio.reshape(voices, -1), tail
    out[:, :TAPS] = tail
    spectra = np.fft.rfft(white, _SIZE, axis=-1) * np.fft.rfft(magnitudes @ BASIS, _SIZE, axis=-1)
    responses = np.fft.irfft(spectra, _SIZE, axis=-1)[..., : HOP + TAPS]
    for k in range(hops):
        out[:, k * HOP : (k + 1) * HOP + TAPS] += responses[:, k]
    return out[:, : hops * HOP], out[:, hops * HOP :]


def power(f0_hz: Numbers, amplitudes: Numbers, magnitudes: Numbers) -> NDArray[np.float32]:
    """Predict the A-weighted power of frames of harmonics and noise.

    Args:
        f0_hz: (...), the fundamental in Hz.
        amplitudes: (..., harmonics), linear.
        magnitudes: (..., BANDS), linear, of the noise.

    Returns:
        (...), which is 0.5 for a full-scale sine of 1 kHz.
    """
    weights = a_weight(np.asarray(f0_hz)[..., None] * np.arange(1, amplitudes.shape[-1] + 1))
    tones = 0.5 * np.sum(np.square(amplitudes) * weights, -1)
    noise = NOISE_POWER * np.mean(np.square(magnitudes) * _BAND_WEIGHTS, -1)
    return np.asarray(tones + noise, np.float32)
