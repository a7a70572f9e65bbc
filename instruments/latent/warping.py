"""Bend time so that a note with vibrato has a constant pitch, and bend it back."""

from __future__ import annotations

import numpy as np

from instruments.latent.subbands import HOP
from neural_fx.arrays import Doubles

_HALF_TAPS = 16
_CHUNK = 1 << 14


def steady_times(track: Doubles, f0: float, samples: int) -> Doubles:
    """Return the time in the steady version of each sample of a note, in samples, (samples,).

    Args:
        track: pitch at every frame in Hz.
        f0: the constant pitch in Hz.
        samples: length of the note.
    """
    speed = np.interp(np.arange(samples), np.arange(len(track)) * HOP, track) / f0
    return np.asarray(np.cumsum(speed) - speed[0])


def inverted(times: Doubles) -> Doubles:
    """Return the sample of the note at each sample of its steady version, (floor of the last time + 1,)."""
    return np.interp(np.arange(int(times[-1]) + 1), times, np.arange(len(times)))


def read_between(signal: Doubles, positions: Doubles) -> Doubles:
    """Return a signal's values at fractional samples by windowed sinc functions, (positions,).

    Args:
        signal: (samples,); 0 outside.
        positions: in samples.
    """
    padded = np.pad(signal, _HALF_TAPS)
    taps = np.arange(-_HALF_TAPS + 1, _HALF_TAPS + 1)
    result = np.zeros(len(positions))
    for first in range(0, len(positions), _CHUNK):
        part = positions[first : first + _CHUNK]
        whole = np.floor(part).astype(int)
        distance = taps - (part - whole)[:, None]
        kernel = np.sinc(distance) * np.cos(np.pi / 2 * distance / _HALF_TAPS) ** 2
        index = np.clip(whole[:, None] + taps + _HALF_TAPS, 0, len(padded) - 1)
        result[first : first + _CHUNK] = (padded[index] * kernel).sum(axis=1)
    return result
