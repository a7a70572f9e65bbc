"""Add up the power of harmonics, free partials and noise in ear-like bands, without making audio.

The bands are those of `instruments.latent.distance`. A sinusoid fills about 1.5 bins of its window. Noise is given as
the sinusoid that fills one bin as much.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from instruments.latent.frames import SLOT_RATIOS
from instruments.latent.noise import CENTRES
from instruments.latent.parameters import HARMONICS, HIGHEST_HZ
from instruments.latent.pitch import midi_to_hz
from instruments.latent.subbands import RATE
from neural_fx.arrays import Doubles

BANDS = 64
_LOWEST_PITCH = 12
_HIGHEST_PITCH = 112
_BIN_HZ = RATE / 2048
_SIDE_HZ = 1.5 * _BIN_HZ
_WINDOW_BINS = 1.5
_LOWEST_HZ = 30.0
_TOP_HZ = 20000.0
SINUSOIDS = HARMONICS + len(SLOT_RATIOS)


def band_edges() -> Doubles:
    """Return the edges of the bands in Hz, (BANDS + 1,)."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (_LOWEST_HZ, _TOP_HZ))
    return np.asarray(700 * (10 ** (np.linspace(low, high, BANDS + 1) / 2595) - 1))


def sinusoid_shares(pitch: float) -> Doubles:
    """Return which share of each harmonic's and slot's power falls into each band, (SINUSOIDS, BANDS).

    Args:
        pitch: MIDI note.
    """
    f0 = midi_to_hz(pitch)
    hz = np.concatenate((f0 * np.arange(1, HARMONICS + 1), f0 * SLOT_RATIOS))
    around = np.linspace(-1, 1, 15)[1:-1]
    lobe = np.cos(np.pi / 2 * around) ** 4
    shares = np.zeros((len(hz), BANDS))
    for place, weight in zip(around, lobe / lobe.sum()):
        band = np.searchsorted(band_edges(), hz + place * _SIDE_HZ) - 1
        inside = (band >= 0) & (band < BANDS) & (hz < HIGHEST_HZ)
        shares[np.flatnonzero(inside), band[inside]] += weight
    return shares


def noise_shares() -> Doubles:
    """Return the power in each band from noise bands whose sinusoids have the power 1, (noise bands, BANDS)."""
    hz = np.arange(_LOWEST_HZ, _TOP_HZ) + 0.5
    band = np.searchsorted(band_edges(), hz) - 1
    # Between two centres, the power moves from one band to the next.
    right = np.clip(np.searchsorted(CENTRES, hz), 1, len(CENTRES) - 1)
    share = np.clip((hz - CENTRES[right - 1]) / (CENTRES[right] - CENTRES[right - 1]), 0, 1)
    shares = np.zeros((len(CENTRES), BANDS))
    np.add.at(shares, (right, band), share)
    np.add.at(shares, (right - 1, band), 1 - share)
    return shares / (_BIN_HZ * _WINDOW_BINS)


class MelPower:
    """Convert levels to powers of the bands.

    Args:
        device: of the tables.
    """

    def __init__(self, device: torch.device) -> None:
        pitches = range(_LOWEST_PITCH, _HIGHEST_PITCH + 1)
        sinusoids = np.stack([sinusoid_shares(pitch) for pitch in pitches])
        self._sinusoids = torch.tensor(sinusoids, dtype=torch.float32, device=device)
        self._noise = torch.tensor(noise_shares(), dtype=torch.float32, device=device)

    def __call__(self, levels_db: Tensor, pitches: Tensor) -> Tensor:
        """Return the powers of the bands, (notes, frames, BANDS).

        Args:
            levels_db: (notes, frames, LEVELS).
            pitches: MIDI notes, (notes,).
        """
        powers = torch.exp(levels_db * (np.log(10) / 10))
        row = (pitches.round().long() - _LOWEST_PITCH).clamp(0, _HIGHEST_PITCH - _LOWEST_PITCH)
        found: Tensor = torch.bmm(powers[..., :SINUSOIDS], self._sinusoids[row])
        return found + powers[..., SINUSOIDS:] @ self._noise
