"""Decode the network's latent numbers to bands and sines, with numpy only.

A hit is 16 numbers z, a class and seven knobs. A small network turns them into coefficients of a separable basis for the
bands, and into sines. A Gaussian mixture for each class says which z and knobs sounds of that class have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from instruments.drums.bands import FLOOR_DB, Array
from instruments.drums.classes import CLASSES
from instruments.drums.knobs import measured_knobs
from instruments.drums.rendering import SILENCE_DB
from instruments.drums.sines import SLOTS, Sines
from neural_fx.errors import ModelError

LATENT = 16
LEVEL_SCALE = 10.0  # dB per unit of the network's output
CORRECTIONS = 3
MOST_CORRECTION = 0.6  # beyond the range of a knob; further away the network is not trained


@dataclass(frozen=True)
class Hit:
    """What a hit sounds like: input of `rendering.render_hit`.

    Attributes:
        levels: (96, 144) in dB.
        sines: its tones.
        knobs: (7,) measured knobs, 0..1 for usual sounds of the class.
    """

    levels: Array
    sines: Sines
    knobs: Array


class Decoder:
    """The network, its knob scales and its prior.

    Args:
        weights: arrays by name, as `demos/drums/train.py` writes them.
    """

    def __init__(self, weights: dict[str, NDArray[np.floating]]) -> None:
        self._weights = {name: np.asarray(value, np.float32) for name, value in weights.items()}

    @classmethod
    def read(cls, path: Path) -> Decoder:
        """Read a decoder from a safetensors file.

        Raises:
            ModelError: a tensor is missing.
        """
        with safe_open(path, framework="numpy") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        missing = {"mean", "bands", "frames", "knob_low", "knob_high", "layer0.weight"} - set(weights)
        if missing:
            raise ModelError(f"{path}: not a drum network: it has no {', '.join(sorted(missing))}")
        return cls(weights)

    @property
    def presets(self) -> list[str]:
        """Names of the kits that are stored with the network."""
        return sorted(name.removeprefix("kit.") for name in self._weights if name.startswith("kit."))

    def preset(self, kit: str, drum: str) -> tuple[Array, Array]:
        """Return z and knobs of a class in a stored kit."""
        numbers = self._weights[f"kit.{kit}"][CLASSES.index(drum)]
        return numbers[:LATENT], numbers[LATENT:]

    def sample(self, drum: str, random: np.random.Generator) -> tuple[Array, Array]:
        """Draw z and knobs of a class from the prior.

        Args:
            drum: name of the class.
            random: generator.

        Returns:
            z (16,) and knobs (7,).
        """
        shares = self._weights[f"prior.{drum}.share"].astype(float)
        part = int(random.choice(len(shares), p=shares / shares.sum()))
        mean = self._weights[f"prior.{drum}.mean"][part]
        factor = self._weights[f"prior.{drum}.factor"][part]
        numbers = mean + factor @ np.clip(random.standard_normal(len(mean)), -2, 2).astype(np.float32)
        return numbers[:LATENT], np.clip(numbers[LATENT:], -0.1, 1.1)

    def scaled(self, raw_knobs: Array, drum: str) -> Array:
        """Convert measured knobs to the scale of a class: 0 for its 5th percentile, 1 for its 95th."""
        low, high = (self._weights[name][CLASSES.index(drum)] for name in ("knob_low", "knob_high"))
        return np.asarray((raw_knobs - low) / (high - low), np.float32)

    def decode(self, drum: str, z: Array, knobs: Array, corrections: int = CORRECTIONS) -> Hit:
        """Decode a hit.

        The network follows its knobs closely, but not exactly. So the knobs of its answer are measured, and it is asked
        again with the difference added.

        Args:
            drum: name of the class.
            z: (16,) latent numbers.
            knobs: (7,) wanted knobs.
            corrections: number of further questions. 0 returns the first answer.
        """
        asked = np.asarray(knobs, np.float32)
        best = self._answer(drum, z, asked)
        best_miss = float(np.abs(best.knobs - knobs).sum())
        for _ in range(corrections):
            asked = np.clip(asked + knobs - best.knobs, -MOST_CORRECTION, 1 + MOST_CORRECTION)
            answer = self._answer(drum, z, asked)
            miss = float(np.abs(answer.knobs - knobs).sum())
            if miss >= best_miss:
                break
            best, best_miss = answer, miss
        return best

    def _answer(self, drum: str, z: Array, knobs: Array) -> Hit:
        weights = self._weights
        one_hot = np.zeros(len(CLASSES), np.float32)
        one_hot[CLASSES.index(drum)] = 1
        hidden = np.concatenate((z, one_hot, 2 * knobs - 1)).astype(np.float32)
        layers = sum(name.endswith(".weight") for name in weights)
        for layer in range(layers):
            hidden = weights[f"layer{layer}.weight"] @ hidden + weights[f"layer{layer}.bias"]
            if layer < layers - 1:
                hidden = hidden / (1 + np.exp(-hidden))  # SiLU
        bands, frames = weights["bands"], weights["frames"]
        coefficients = hidden[: bands.shape[1] * frames.shape[1]].reshape(bands.shape[1], frames.shape[1])
        levels = LEVEL_SCALE * (bands @ coefficients @ frames.T) + weights["mean"]
        levels = np.maximum(levels, max(float(levels.max()) - SILENCE_DB, FLOOR_DB))
        levels = np.where(levels > levels.max() - SILENCE_DB, levels, FLOOR_DB).astype(np.float32)
        return Hit(levels, Sines.from_vector(hidden[-4 * SLOTS :]), self.scaled(measured_knobs(levels), drum))
