"""Bring a hit's knobs to their wanted values by smooth changes of its bands.

The network follows its knobs, but not exactly. What is missing is done here. Each knob has a shape in time and
frequency, such as a shelf below 120 Hz for `boominess`. A few Gauss-Newton steps find how many dB of each shape are
needed. They know that a shape moves other knobs too, so the other knobs stay where they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from instruments.drums.bands import FLOOR_DB, band_hz, frame_seconds, limited
from instruments.drums.knobs import ATTACK_SECONDS, BOOM_HZ, KNOBS, WARM_HZ, measured_knobs
from neural_fx.arrays import Array

STEPS = 8
MOST_DB = 24.0
CLOSE = 0.01
_SHARES = np.array([1.0, 0.5, 0.2, 0.07])
_PROBE_DB = 0.5
_DAMPING = 3e-4  # of squared dB beside squared misses, so that no shape is used without need
_CAUTION = 30.0  # times as much damping after a step that helps nothing

_OCTAVES = np.log2(band_hz())
_SECONDS = frame_seconds()
_HEARD_DB = FLOOR_DB + 1.0


def shaped(levels: Array, wanted: Array, low: Array, high: Array, weights: Array) -> Array:
    """Return levels whose knobs are as wanted, as far as changes of `MOST_DB` reach.

    Args:
        levels: (96, 144) in dB, as `bands.limited` returns.
        wanted: (7,) knobs, scaled.
        low, high: (7,) knobs at 0 and at 1, in their own units.
        weights: (7,) how much a miss of each knob counts.
    """
    shapes = _shapes(levels)

    def misses(amounts: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the weighted (..., 7) misses after (..., 7) dB of the shapes."""
        changed = levels + (amounts.astype(np.float32) @ shapes.reshape(len(KNOBS), -1)).reshape(-1, *levels.shape)
        changed = np.maximum(changed - changed.max((1, 2), keepdims=True), FLOOR_DB)
        return np.asarray(weights * (wanted - (measured_knobs(changed) - low) / (high - low)))

    amounts = np.zeros(len(KNOBS))
    missed = misses(amounts[None])[0]
    caution = 0.0
    for _ in range(STEPS):
        if np.abs(missed).max() < CLOSE:
            break
        slopes = (missed - misses(amounts + _PROBE_DB * np.eye(len(KNOBS)))).T / _PROBE_DB  # (knob, shape)
        square = slopes.T @ slopes + (_DAMPING + caution) * np.eye(len(KNOBS))
        step = np.clip(np.linalg.solve(square, slopes.T @ missed - _DAMPING * amounts), -MOST_DB, MOST_DB)
        # The formulas are curved, so a whole step may be too much.
        tried = np.clip(amounts + _SHARES[:, None] * step, -MOST_DB, MOST_DB)
        found = misses(tried)
        costs = (found**2).sum(1) + _DAMPING * (tried**2).sum(1)
        best = int(costs.argmin())
        if costs[best] >= (missed**2).sum() + _DAMPING * (amounts**2).sum():
            if caution >= _CAUTION**2 * _DAMPING:
                break
            caution = max(_DAMPING, caution) * _CAUTION
            continue
        caution = 0.0
        amounts, missed = tried[best], found[best]
    return limited(levels + np.tensordot(amounts, shapes, 1))


def _shapes(levels: Array) -> NDArray[np.float32]:
    """Return the (7, 96, 144) shapes of a hit, each about 1 where it acts most. Silence has no shape."""
    heard = levels > _HEARD_DB
    power = np.where(heard, 10 ** (levels / 10), 0.0)
    by_band = power.sum(1) / power.sum()
    centre = float((by_band * _OCTAVES).sum())
    deepest = -float(measured_knobs(levels)[KNOBS.index("depth")])
    strength = np.sqrt(power.sum(0))
    settled = float((strength * _SECONDS).sum() / strength.sum()) + 0.002
    loud = np.sqrt(by_band)
    flat = 10 * np.log10(np.maximum(by_band, 1e-7))
    peaks = (flat - (loud * flat).sum() / loud.sum()) / 15
    below = deepest - _OCTAVES
    by_name = {
        "boominess": _step(np.log2(BOOM_HZ) - _OCTAVES, 0.2)[:, None],
        "brightness": np.clip((_OCTAVES - centre) / 3, -1, 1)[:, None],
        "hardness": _step(ATTACK_SECONDS - _SECONDS, 0.002)[None],
        "warmth": (_step(_OCTAVES - np.log2(BOOM_HZ), 0.2) * _step(np.log2(WARM_HZ) - _OCTAVES, 0.2))[:, None],
        "depth": (np.tanh(below / 0.4) * np.exp(-((below / 1.5) ** 2)))[:, None],
        "decay": (np.minimum(_SECONDS / settled, 5.0) / 5)[None],
        "noisiness": -np.clip(peaks, -1, 1)[:, None],
    }
    return np.stack([(by_name[name] * heard).astype(np.float32) for name in KNOBS])


def _step(distance: NDArray[np.floating], width: float) -> NDArray[np.floating]:
    """Return a smooth step from 0 to 1 around a distance of 0."""
    return np.asarray(1 / (1 + np.exp(-np.clip(distance / width, -30, 30))))
