"""Noise in bands as a stream, tick by tick."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from instruments.latent.noise import BANDS, BandTransforms
from instruments.latent.subbands import HOP, RATE, Subbands
from neural_fx.arrays import Doubles

NOISE_SIZE = 4 * HOP
"""Samples of a frame: 10 ms. Four frames overlap, so the noise is 5 ms behind its levels."""
NOISE_BINS = NOISE_SIZE // 2 + 1
UNIFORM_SCALE = float(np.sqrt(3 * NOISE_SIZE * RATE / 4))
"""Numbers between -1 and 1 have a variance of 1/3. The sum of many bins is normally distributed anyway."""


class LiveNoise:
    """Noise whose band levels may change at every tick.

    Args:
        seed: of the random numbers.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._overlap = np.zeros(NOISE_SIZE)
        self._window = noise_window()

    def play(self, powers: Doubles) -> Doubles:
        """Return the next tick, (HOP,).

        Args:
            powers: squared amplitude densities of the bands, (BANDS,).
        """
        # Numbers are drawn for silence, too. So the noise does not depend on how many notes there were.
        uniform = 2 * self._random.random((2, NOISE_BINS), dtype=np.float32) - 1
        if powers.any():
            density = np.sqrt(response() @ powers)
            spectrum = (uniform[0] + 1j * uniform[1]) * density * UNIFORM_SCALE
            spectrum[[0, -1]] = 0
            self._overlap += np.fft.irfft(spectrum, NOISE_SIZE) * self._window
        part = self._overlap[:HOP].copy()
        self._overlap = np.concatenate((self._overlap[HOP:], np.zeros(HOP)))
        return part


def noise_window() -> Doubles:
    """Return the window of a frame, (NOISE_SIZE,)."""
    phase = (np.arange(NOISE_SIZE) + 0.5) / NOISE_SIZE
    # Independent frames add their powers: four squared Hann windows add to 1.5.
    return np.asarray((0.5 - 0.5 * np.cos(2 * np.pi * phase)) / np.sqrt(1.5))


@lru_cache(maxsize=1)
def response() -> Doubles:
    """Return the share of each band's power in each bin of a frame, (bins, BANDS)."""
    subbands = Subbands(RATE // 10)
    transforms = BandTransforms(subbands)
    bins = np.rint(subbands.frequencies() / (RATE / NOISE_SIZE)).astype(int)
    counts = np.bincount(bins)
    found = np.zeros((len(counts), BANDS))
    for band, (where, weights) in enumerate(zip(transforms.bins, transforms.weights)):
        found[:, band] = np.bincount(bins[where], weights**2, len(counts)) / counts
    return found
