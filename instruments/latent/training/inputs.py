"""Compute the inputs of the network in torch: the same numbers as `instruments.latent.features`."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instruments.latent import features


def note_features(pitches: Tensor, velocities: Tensor) -> Tensor:
    """Return what the network sees of notes, (..., NOTE_FEATURES).

    Args:
        pitches: MIDI notes, (...,).
        velocities: 1 to 127, (...,).
    """
    return torch.cat(
        (
            _bumps(pitches, features.PITCHES, features.PITCH_WIDTH),
            (pitches[..., None] - 60) / 36,
            _bumps(velocities, features.VELOCITIES, features.VELOCITY_WIDTH),
        ),
        dim=-1,
    )


def time_features(ticks: Tensor, releases: Tensor) -> Tensor:
    """Return what the network sees of times, (..., TIME_FEATURES).

    Args:
        ticks: since the onset, (...,).
        releases: tick of the release of each frame's note, (...,).
    """
    held = ticks < releases
    after = torch.where(held, 0.0, ticks - releases)
    released = _bumps(torch.log2(1 + after), features.RELEASE_PLACES, features.TIME_WIDTH)
    return torch.cat(
        (
            _bumps(torch.log2(1 + ticks), features.ONSET_PLACES, features.TIME_WIDTH),
            ticks[..., None] / features.TICKS_PER_SECOND,
            torch.where(held[..., None], 0.0, released),
            after[..., None] / features.TICKS_PER_SECOND,
            held[..., None].to(ticks.dtype),
        ),
        dim=-1,
    )


def scaled(levels: Tensor) -> Tensor:
    """Return levels in dB in the network's units."""
    return (levels - features.MIDDLE_DB) / features.LEVEL_DB


def _bumps(values: Tensor, places: NDArray[np.float64], width: float) -> Tensor:
    at = _constant(tuple(places.tolist()), values.dtype, values.device)
    return torch.exp(-(((values[..., None] - at) / width) ** 2))


@cache
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return values as a tensor. Each copy to a GPU would wait for it."""
    return torch.tensor(values, dtype=dtype, device=device)
