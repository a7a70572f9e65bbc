"""Vary drum hits in their bands: pitch, length, tone, attack, room, background, and mixtures of two hits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from instruments.drums.bands import FLOOR_DB, band_hz, frame_seconds, warp
from instruments.drums.sines import SLOTS

MOST_OCTAVES = 0.4
MOST_STRETCH = 0.6  # octaves of time
MOST_TILT_DB = 8.0
MOST_CURVE_DB = 7.0
MOST_SHAPE_DB = 5.0
BUMPS = 3  # of each random curve
CONTRAST = (0.75, 1.25)  # levels in dB times this: longer or shorter, denser or clearer
ROOM_DB = (-35.0, -8.0)
ROOM_SECONDS = (0.04, 0.6)  # in which a room falls by 8.7 dB
HISS_DB = (-66.0, -42.0)
MIX_DB = (-20.0, 0.0)
HEARD_TONALITY = 0.1
_ROOMS = 8


class Augmenter:
    """Varies batches of hits.

    Args:
        seed: of the random variations.
        device: of the batches.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.random = torch.Generator(self.device).manual_seed(seed)
        self.band_warp = self._tensor(warp(band_hz()))
        self.band_hz = self._tensor(band_hz())
        self.seconds = self._tensor(frame_seconds())
        self.rooms = self._tensor(room_matrices())

    def __call__(self, levels: Tensor, sines: Tensor, drum: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return varied copies of levels and sines.

        Args:
            levels: (batch, 96, 144) in dB.
            sines: (batch, 32).
            drum: (batch,) classes. If they are given, some hits are mixed with another hit of their class.
        """
        count = len(levels)
        octaves = self._between(sines) * self._some(count, 0.7)
        stretch = self._around(MOST_STRETCH, count) * self._some(count, 0.7)
        levels = interpolated(interpolated(levels, self._band_positions(octaves), 1), self._frame_positions(stretch), 2)
        heard = levels > FLOOR_DB
        change = self._tone(count)[:, :, None] + self._shape(count)[:, None, :]
        contrast = CONTRAST[0] + (CONTRAST[1] - CONTRAST[0]) * self._uniform(count)
        contrast = torch.where(self._some(count, 0.4) > 0, contrast, torch.ones_like(contrast))
        levels = relative(torch.where(heard, relative(levels) * contrast[:, None, None] + change, FLOOR_DB))
        varied = sines.clone()
        varied[:, :SLOTS] += octaves[:, None]
        varied[:, 2 * SLOTS : 3 * SLOTS] += np.log(2) * stretch[:, None]
        if drum is not None:
            levels, varied = self._mixed(levels, varied, drum)
        return self._with_hiss(self._in_room(levels)), varied

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.random, device=self.device)

    def _around(self, most: float, *shape: int) -> Tensor:
        return most * (2 * self._uniform(*shape) - 1)

    def _within(self, limits: tuple[float, float], *shape: int) -> Tensor:
        return limits[0] + (limits[1] - limits[0]) * self._uniform(*shape)

    def _some(self, count: int, share: float) -> Tensor:
        """Return 1 for a random share of the hits, else 0."""
        return (self._uniform(count) < share).float()

    def _between(self, sines: Tensor) -> Tensor:
        """Return shifts of pitch in octaves that leave every heard sine in its octave."""
        place = sines[:, :SLOTS]
        heard = sines[:, 3 * SLOTS :] > HEARD_TONALITY
        lowest = -torch.where(heard, place, 1.0).min(1).values.clamp(0, MOST_OCTAVES)
        highest = (1 - torch.where(heard, place, 0.0).max(1).values).clamp(0, MOST_OCTAVES)
        return lowest + (highest - lowest) * self._uniform(len(sines))

    def _tone(self, count: int) -> Tensor:
        """Return (count, 96) dB of a random equaliser: a tilt and some bumps."""
        at = torch.linspace(-0.5, 0.5, len(self.band_hz), device=self.device)
        tilt = self._around(MOST_TILT_DB, count) * self._some(count, 0.7)
        bumps = self._bumps(count, at, MOST_CURVE_DB, (0.03, 0.2))
        return tilt[:, None] * at + bumps * self._some(count, 0.6)[:, None]

    def _shape(self, count: int) -> Tensor:
        """Return (count, 144) dB of a random change of the envelope."""
        at = torch.linspace(-0.5, 0.5, len(self.seconds), device=self.device)
        return self._bumps(count, at, MOST_SHAPE_DB, (0.05, 0.3)) * self._some(count, 0.5)[:, None]

    def _bumps(self, count: int, at: Tensor, most: float, widths: tuple[float, float]) -> Tensor:
        centre = self._around(0.55, count, BUMPS, 1)
        width = self._within(widths, count, BUMPS, 1)
        return (self._around(most, count, BUMPS, 1) * (-(((at - centre) / width) ** 2)).exp()).sum(1)

    def _mixed(self, levels: Tensor, sines: Tensor, drum: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a fifth of the hits with another hit of their class, which is the next one of that class in the batch."""
        order = torch.argsort(drum + self._uniform(len(drum)))
        other = torch.empty_like(order).scatter_(0, order, order.roll(-1))
        mixed = (self._some(len(drum), 0.2) > 0) & (drum[other] == drum)
        gain = self._within(MIX_DB, len(drum), 1, 1)
        together = _sum(levels, torch.where(levels[other] > FLOOR_DB, levels[other] + gain, FLOOR_DB))
        # The sines stay those of the louder hit, and stand out less from what was added.
        quieter = sines.clone()
        quieter[:, 3 * SLOTS :] *= 1 - 0.5 * 10 ** (gain[:, :, 0] / 10)
        return relative(torch.where(mixed[:, None, None], together, levels)), torch.where(
            mixed[:, None], quieter, sines
        )

    def _in_room(self, levels: Tensor) -> Tensor:
        count = len(levels)
        matrix = self.rooms[torch.randint(_ROOMS, (count,), generator=self.random, device=self.device)]
        heard = torch.where(levels > FLOOR_DB, (levels * (np.log(10) / 10)).exp(), 0.0)
        echo = heard @ matrix.transpose(1, 2) * 10 ** (self._within(ROOM_DB, count, 1, 1) / 10)
        dull = torch.linspace(0, -1, len(self.band_hz), device=self.device)[:, None]
        echo = echo * (dull * self._within((0.0, 3.0), count, 1, 1)).exp()
        with_room = 10 * torch.log10(heard + echo + 1e-9)
        return relative(torch.where(self._some(count, 0.3)[:, None, None] > 0, with_room, levels))

    def _with_hiss(self, levels: Tensor) -> Tensor:
        """Add background noise to some hits, up to their end."""
        count = len(levels)
        tilt = torch.linspace(0.5, -0.5, len(self.band_hz), device=self.device)[:, None]
        hiss = self._within(HISS_DB, count, 1, 1) + tilt * self._around(24.0, count, 1, 1)
        last = (levels > FLOOR_DB).any(1, keepdim=True).flip(2).cummax(2).values.flip(2)
        noisy = torch.where(last, _sum(levels, hiss), levels)
        return relative(torch.where(self._some(count, 0.2)[:, None, None] > 0, noisy, levels))

    def _band_positions(self, octaves: Tensor) -> Tensor:
        source = torch.log1p(self.band_hz[None] / 100.0 * 2 ** -octaves[:, None])
        step = self.band_warp[1] - self.band_warp[0]
        return ((source - self.band_warp[0]) / step).clamp(0, len(self.band_hz) - 1.001)

    def _frame_positions(self, stretch: Tensor) -> Tensor:
        times = (self.seconds[None] * 2 ** -stretch[:, None]).clamp(max=self.seconds[-1] - 1e-3)
        first = torch.searchsorted(self.seconds, times.contiguous(), right=True) - 1
        first = first.clamp(0, len(self.seconds) - 2)
        return first + (times - self.seconds[first]) / (self.seconds[first + 1] - self.seconds[first])


def room_matrices() -> np.ndarray:
    """Return (8, 144, 144) matrices that smear power over later frames, as rooms of different length do."""
    at = frame_seconds()
    since = at[:, None] - at[None]
    duration = np.gradient(at)
    times = np.geomspace(*ROOM_SECONDS, _ROOMS)
    return np.stack(
        [np.where(since >= 0, np.exp(-2 * np.maximum(since, 0) / time), 0) * duration / time for time in times]
    )


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


def relative(levels: Tensor) -> Tensor:
    """Return levels like `limited`, but silent cells stay silent even if the loudest cell is below 0 dB."""
    return torch.where(levels > FLOOR_DB, limited(levels), FLOOR_DB)


def _sum(first: Tensor, second: Tensor) -> Tensor:
    """Return levels in dB of the sum of two powers. Silent cells have none."""
    scale = np.log(10) / 10
    heard = [torch.where(levels > FLOOR_DB, levels, -200.0) for levels in (first, second)]
    total: Tensor = torch.logaddexp(scale * heard[0], scale * heard[1]) / scale
    return total
