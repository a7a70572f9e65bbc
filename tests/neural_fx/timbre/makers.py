"""Tones and timbres that tests know everything about."""

from __future__ import annotations

import numpy as np

from neural_fx.timbre.analysis import RATE
from neural_fx.timbre.decoder import Decoder, Shape, weight_shapes
from neural_fx.timbre.files import Habits, Timbre


def tone(hz, seconds=1.0, level=0.2, harmonics=12, rate=RATE):
    """Harmonics falling as 1/k; `hz` a number or one for each sample."""
    n = round(seconds * rate)
    turns = np.cumsum(np.broadcast_to(hz, n)) / rate
    top = np.max(hz)
    parts = [np.sin(2 * np.pi * k * turns) / k for k in range(1, harmonics + 1) if k * top < 0.45 * rate]
    return (level * np.sum(parts, 0)).astype(np.float32)


def timbre(seed=0, hidden=16, harmonics=40, reverb=480, spread=0.4, habits=None, name="made"):
    """A timbre of random weights; with `spread=0` it plays every note with the same even spectrum and little noise."""
    rng = np.random.default_rng(seed)
    weights = {}
    for key, shape in weight_shapes(Shape(hidden, harmonics, reverb)).items():
        values = rng.normal(0, spread / np.sqrt(shape[-1]), shape)
        if key.endswith((".1.weight", ".4.weight")):
            values = np.ones(shape)
        weights[key] = values.astype(np.float32)
    weights["head.weight"] *= 0.3 if spread else 0
    weights["head.bias"][1 : 1 + harmonics] -= 0.05 * np.arange(harmonics, dtype=np.float32)
    weights["head.bias"][1 + harmonics :] = -9
    room = (rng.normal(size=reverb) * 0.01 * np.exp(-np.arange(reverb) / 100)).astype(np.float32) * (spread > 0)
    habits = habits or Habits(60, 2500, attack_seconds=0.02, release_db_per_second=300)
    return Timbre(name, Decoder(Shape(hidden, harmonics, reverb), weights), room, habits)
