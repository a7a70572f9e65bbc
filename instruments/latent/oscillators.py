"""Add many sinusoids over one tick by a small matrix product."""

from __future__ import annotations

import numpy as np

from instruments.latent.subbands import HOP, RATE
from neural_fx.arrays import Doubles

_FINE = 10
_COARSE = HOP // _FINE


def oscillate(
    phases: Doubles, hz: Doubles, before: Doubles, after: Doubles, samples: int = HOP
) -> tuple[Doubles, Doubles]:
    """Return the sum of sinusoids over a tick or a part of it, (samples,), and their phases at its end.

    Sample ``_FINE * i + j`` of a sinusoid is ``exp(i p) U^i V^j``. So few exponentials make all of its samples, and the
    sum over the sinusoids is a matrix product. Amplitudes change linearly.

    Args:
        phases: at the beginning, in radians, (sinusoids,).
        hz: constant frequencies, (sinusoids,).
        before: amplitudes at the beginning, (sinusoids,).
        after: amplitudes at the end, (sinusoids,).
        samples: `HOP` or fewer.
    """
    end = (phases + 2 * np.pi * hz * (samples / RATE)) % (2 * np.pi)
    heard = (before > 0) | (after > 0)
    if not heard.any():
        return np.zeros(samples), end
    step = 2 * np.pi / RATE * hz[heard]
    coarse = np.exp(1j * (phases[heard] + np.outer(np.arange(_COARSE) * _FINE, step)))
    fine = np.exp(1j * np.outer(np.arange(_FINE), step)).T
    slope = (after[heard] - before[heard]) / samples
    amplitudes = before[heard] + np.outer(np.arange(_COARSE) * _FINE, slope)
    rising = (coarse * slope) @ (fine * np.arange(_FINE)[None])
    total = (coarse * amplitudes) @ fine + rising
    return total.real.reshape(-1)[:samples], end
