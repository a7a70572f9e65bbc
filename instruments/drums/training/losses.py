"""Define what errors of decoded hits cost in training."""

from __future__ import annotations

import torch
from torch import Tensor

from instruments.drums.bands import FLOOR_DB
from instruments.drums.network import LEVEL_SCALE
from instruments.drums.sines import SLOTS
from instruments.drums.training.augment import HEARD_TONALITY, limited
from instruments.drums.training.model import DrumAutoencoder


def level_loss(decoded: Tensor, levels: Tensor) -> Tensor:
    """Return the squared error in units of 10 dB. Where the hit is silent, only what is heard counts."""
    error = (decoded - levels) / LEVEL_SCALE
    silent = levels <= FLOOR_DB
    counted: Tensor = torch.where(silent, 0.5 * error.clamp(min=0), error)
    return counted.square().mean()


def sine_loss(decoded: Tensor, sines: Tensor) -> Tensor:
    """Return the error of the sines. Frequencies and glides count as far as a sine is heard."""
    place, glide, seconds, tonality = decoded.reshape(-1, 4, SLOTS).unbind(1)
    wanted_place, wanted_glide, wanted_seconds, wanted_tonality = sines.reshape(-1, 4, SLOTS).unbind(1)
    heard = wanted_tonality * (wanted_tonality > HEARD_TONALITY)
    miss = 4 * (place - wanted_place) ** 2 + (glide - wanted_glide) ** 2 + 0.1 * (seconds - wanted_seconds) ** 2
    return (heard * miss).mean() + 0.5 * ((tonality - wanted_tonality) ** 2).mean()


def knob_miss(model: DrumAutoencoder, z: Tensor, drum: Tensor, knobs: Tensor, random: torch.Generator) -> Tensor:
    """Return how far knobs are missed that were asked of any z: mixed, or with noise, and of any value.

    Args:
        model: the network.
        z: (hits, 16) of real hits.
        drum: (hits,) their classes.
        knobs: (hits, 7) their knobs, scaled.
        random: draws what is asked.
    """
    count = len(z)
    order = torch.randperm(count, generator=random)
    share = torch.rand(count, 1, generator=random)
    z = share * z + (1 - share) * z[order] + 0.3 * torch.randn(z.shape, generator=random)
    moved = torch.rand(knobs.shape, generator=random) < 0.35
    asked = torch.where(moved, 1.3 * torch.rand(knobs.shape, generator=random) - 0.15, knobs)
    levels, _ = model.decode(z, drum, asked)
    miss = model.knobs(limited(levels), drum) - asked
    return torch.nn.functional.smooth_l1_loss(miss, torch.zeros_like(miss), beta=0.3)
