"""Guess the class of a drum hit from its bands, by a small classifier that learned from training sounds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from instruments.drums.bands import FLOOR_DB
from instruments.drums.classes import CLASSES
from neural_fx.arrays import Array

WEIGHTS = Path(__file__).parent / "data" / "classes.safetensors"


def coarse(levels: NDArray[np.floating]) -> Array:
    """Return (hits, 24 * 36) levels in dB of (hits, 96, 144) ones, each hit with its loudest cell at 0 dB."""
    parts = levels.astype(np.float32).reshape(len(levels), 24, 4, 36, 4).mean((2, 4)).reshape(len(levels), -1)
    return np.asarray(np.maximum(parts - parts.max(1, keepdims=True), FLOOR_DB), np.float32)


def class_odds(levels: Array) -> dict[str, float]:
    """Return the probability of each class, the most likely first.

    Args:
        levels: (96, 144) in dB, as `bands.limited` returns.
    """
    weights = _weights()
    hidden = weights["hidden.weight"] @ (coarse(levels[None])[0] / -FLOOR_DB + 0.5) + weights["hidden.bias"]
    hidden = hidden / (1 + np.exp(-hidden))  # SiLU
    scores = weights["classes.weight"] @ hidden + weights["classes.bias"]
    odds = np.exp(scores - scores.max())
    odds /= odds.sum()
    return {CLASSES[number]: float(odds[number]) for number in np.argsort(-odds)}


@cache
def _weights() -> Mapping[str, Array]:
    return {name: value.astype(np.float32) for name, value in load_file(WEIGHTS).items()}
