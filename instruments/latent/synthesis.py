"""Play a note from its parameters: sinusoids frame by frame, noise in bands, silence outside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instruments.latent.noise import BandTransforms
from instruments.latent.parameters import HIGHEST_HZ, NoteParameters
from instruments.latent.subbands import HOP, RATE, Subbands

Array = NDArray[np.float64]


def synthesize(parameters: NoteParameters, seed: int = 0) -> Array:
    """Return a note, (samples,), at 48 kHz.

    Args:
        parameters: of the note.
        seed: of the noise.
    """
    note = np.zeros(parameters.samples)
    length = parameters.end - parameters.onset
    if length <= 0:
        return note
    sound = tonal(parameters, length)
    if parameters.noise.any():
        sound += BandTransforms(Subbands(length)).play(parameters.noise, seed)
    note[parameters.onset : parameters.end] = sound
    return note


def tonal(parameters: NoteParameters, length: int) -> Array:
    """Return the sum of all harmonics and free partials, (length,).

    Args:
        parameters: of the note.
        length: samples from the onset.
    """
    used = np.flatnonzero(parameters.harmonics.any(axis=0))
    cycles = parameters.f0[:, None] * parameters.stretch()[used]
    amplitudes = np.where(cycles < HIGHEST_HZ, parameters.harmonics[:, used], 0)
    sound = sinusoids(cycles, amplitudes, parameters.phases[used], length)
    partials = np.flatnonzero(parameters.partials.any(axis=0))
    cycles = np.broadcast_to(parameters.partial_hz[partials], (parameters.frames, len(partials)))
    return sound + sinusoids(cycles, parameters.partials[:, partials], parameters.partial_phases[partials], length)


def sinusoids(frequencies: Array, amplitudes: Array, phases: Array, length: int) -> Array:
    """Return the sum of cosines whose amplitudes change linearly from frame to frame, (length,).

    The frequency is constant within a frame, so cos(p + wn) = cos p cos wn - sin p sin wn. Where the frequencies never
    change, a frame of all sinusoids is one row of a matrix product.

    Args:
        frequencies: in Hz, (frames, sinusoids).
        amplitudes: (frames, sinusoids).
        phases: at the first frame, in radians, (sinusoids,).
        length: samples to return.
    """
    frames, count = frequencies.shape
    if count == 0:
        return np.zeros(length)
    step = 2 * np.pi / RATE * frequencies
    start = phases + np.concatenate((np.zeros((1, count)), np.cumsum(step[:-1] * HOP, axis=0)))
    real, imaginary = np.cos(start), np.sin(start)
    following = np.concatenate((amplitudes[1:], amplitudes[-1:]))
    ramp = np.arange(HOP) / HOP
    if np.ptp(frequencies, axis=0).max() < 1e-9:
        angle = step[0][:, None] * np.arange(HOP)
        cosine, sine = np.cos(angle), np.sin(angle)
        basis = np.concatenate((cosine, -sine))
        fade_out = np.concatenate((amplitudes * real, amplitudes * imaginary), axis=1) @ (basis * (1 - ramp))
        fade_in = np.concatenate((following * real, following * imaginary), axis=1) @ (basis * ramp)
        return np.asarray((fade_out + fade_in).reshape(-1)[:length])
    total = np.zeros((frames, HOP))
    n = np.arange(HOP)
    for k in range(count):
        # Rotate by exp(iwn) with one complex exponential per sample.
        wave = np.cos(start[:, k, None] + step[:, k, None] * n)
        total += wave * (amplitudes[:, k, None] * (1 - ramp) + following[:, k, None] * ramp)
    return total.reshape(-1)[:length]
