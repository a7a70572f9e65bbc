"""Play a note from its parameters: sinusoids frame by frame, noise in bands, silence outside."""

from __future__ import annotations

import numpy as np

from instruments.latent.noise import BandTransforms
from instruments.latent.parameters import HIGHEST_HZ, NoteParameters
from instruments.latent.subbands import HOP, RATE, Subbands
from neural_fx.arrays import Doubles

_STEADY_HZ = 1e-9
_INAUDIBLE = 1e-6
"""Sinusoids this far below the loudest, 120 dB, are not played."""


def synthesize(parameters: NoteParameters, seed: int = 0) -> Doubles:
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


def tonal(parameters: NoteParameters, length: int) -> Doubles:
    """Return the sum of all harmonics and free partials, (length,).

    Args:
        parameters: of the note.
        length: samples from the onset.
    """
    harmonic_hz = parameters.f0[:, None] * parameters.stretch() + parameters.deviations
    amplitudes = np.where(harmonic_hz < HIGHEST_HZ, parameters.harmonics, 0)
    partial_hz = parameters.partial_hz + parameters.partial_deviations
    frequencies = np.concatenate((harmonic_hz, partial_hz), axis=1)
    amplitudes = np.concatenate((amplitudes, parameters.partials), axis=1)
    phases = np.concatenate((parameters.phases, parameters.partial_phases))
    heard = amplitudes.max(axis=0) > amplitudes.max() * _INAUDIBLE
    steady = np.ptp(frequencies, axis=0) < _STEADY_HZ
    sound = np.zeros(length)
    for chosen in (heard & steady, heard & ~steady):
        if chosen.any():
            sound += sinusoids(frequencies[:, chosen], amplitudes[:, chosen], phases[chosen], length)
    return sound


def sinusoids(frequencies: Doubles, amplitudes: Doubles, phases: Doubles, length: int) -> Doubles:
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
    if np.ptp(frequencies, axis=0).max() < _STEADY_HZ:
        angle = step[0][:, None] * np.arange(HOP)
        cosine, sine = np.cos(angle), np.sin(angle)
        basis = np.concatenate((cosine, -sine))
        fade_out = np.concatenate((amplitudes * real, amplitudes * imaginary), axis=1) @ (basis * (1 - ramp))
        fade_in = np.concatenate((following * real, following * imaginary), axis=1) @ (basis * ramp)
        return np.asarray((fade_out + fade_in).reshape(-1)[:length])
    # One complex product per sample turns all sinusoids of all frames.
    wave = real + 1j * imaginary
    rotation = np.exp(1j * step)
    slope = (following - amplitudes) / HOP
    total = np.zeros((frames, HOP))
    for n in range(HOP):
        total[:, n] = ((amplitudes + slope * n) * wave.real).sum(axis=1)
        wave *= rotation
    return total.reshape(-1)[:length]
