"""Vary drum hits in their bands: higher or lower, longer or shorter, brighter or darker."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from instruments.drums.bands import FLOOR_DB, band_hz, frame_seconds, warp
from instruments.drums.sines import SLOTS

MOST_OCTAVES = 0.25
MOST_STRETCH = 0.35  # octaves of time
MOST_TILT_DB = 5.0
HEARD_TONALITY = 0.1


class Augmenter:
    """Varies batches of hits.

    Args:
        seed: of the random variations.
    """

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.band_warp = torch.tensor(warp(band_hz()), dtype=torch.float32)
        self.band_hz = torch.tensor(band_hz(), dtype=torch.float32)
        self.seconds = torch.tensor(frame_seconds(), dtype=torch.float32)

    def __call__(self, levels: Tensor, sines: Tensor) -> tuple[Tensor, Tensor]:
        """Return varied copies of levels (batch, 96, 144) in dB and sines (batch, 32)."""
        count = len(levels)
        octaves = self._between(sines) * (self._uniform(count) < 0.7)
        stretch = MOST_STRETCH * (2 * self._uniform(count) - 1) * (self._uniform(count) < 0.7)
        bands = self._band_positions(octaves)
        frames = self._frame_positions(stretch)
        levels = interpolated(interpolated(levels, bands, 1), frames, 2)
        tilt = MOST_TILT_DB * (2 * self._uniform(count) - 1) * (self._uniform(count) < 0.7)
        slope = torch.linspace(-0.5, 0.5, levels.shape[1])
        levels = levels + tilt[:, None, None] * slope[:, None] * (levels > FLOOR_DB)
        varied = sines.clone()
        varied[:, :SLOTS] += octaves[:, None]
        varied[:, 2 * SLOTS : 3 * SLOTS] += np.log(2) * stretch[:, None]
        return limited(levels), varied

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.random)

    def _between(self, sines: Tensor) -> Tensor:
        """Return shifts of pitch in octaves that leave every heard sine in its octave."""
        place = sines[:, :SLOTS]
        heard = sines[:, 3 * SLOTS :] > HEARD_TONALITY
        lowest = -torch.where(heard, place, 1.0).min(1).values.clamp(0, MOST_OCTAVES)
        highest = (1 - torch.where(heard, place, 0.0).max(1).values).clamp(0, MOST_OCTAVES)
        return lowest + (highest - lowest) * self._uniform(len(sines))

    def _band_positions(self, octaves: Tensor) -> Tensor:
        source = torch.log1p(self.band_hz[None] / 100.0 * 2 ** -octaves[:, None])
        step = self.band_warp[1] - self.band_warp[0]
        return ((source - self.band_warp[0]) / step).clamp(0, len(self.band_hz) - 1.001)

    def _frame_positions(self, stretch: Tensor) -> Tensor:
        times = (self.seconds[None] * 2 ** -stretch[:, None]).clamp(max=float(self.seconds[-1]) - 1e-3)
        first = torch.searchsorted(self.seconds, times.contiguous(), right=True) - 1
        first = first.clamp(0, len(self.seconds) - 2)
        return first + (times - self.seconds[first]) / (self.seconds[first + 1] - self.seconds[first])


def interpolated(levels: Tensor, positions: Tensor, axis: int) -> Tensor:
    """Return levels (batch, bands, frames) read at fractional positions (batch, length) of an axis."""
    first = positions.floor().long()
    share = positions - first
    shape = list(levels.shape)
    shape[axis] = positions.shape[1]
    view = (slice(None), slice(None), None) if axis == 1 else (slice(None), None, slice(None))
    low = torch.gather(levels, axis, first[view].expand(shape))
    high = torch.gather(levels, axis, (first + 1)[view].expand(shape))
    return low + (high - low) * share[view]


def limited(levels: Tensor) -> Tensor:
    """Return levels (batch, bands, frames) relative to the loudest cell of each hit, and not below silence."""
    return (levels - levels.amax((1, 2), keepdim=True)).clamp(min=FLOOR_DB)
