"""Run the network of drum hits with numpy only: latent numbers to bands and sines, and back.

A hit is some latent numbers z, a class and seven knobs. The decoder turns them into coefficients of a separable basis
for the bands, and into sines. The encoder finds z of a measured hit. A Gaussian mixture for each class says which z and
knobs sounds of that class have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from instruments.drums.bands import FLOOR_DB, limited, smoothed
from instruments.drums.classes import CLASSES
from instruments.drums.knobs import KNOBS, measured_knobs
from instruments.drums.shaping import shaped
from instruments.drums.sines import SLOTS, Sines
from neural_fx.arrays import Array
from neural_fx.errors import ModelError

LEVEL_SCALE = 10.0  # dB per unit of the network's output
TURNED = 0.02
TURNED_WEIGHT = 8.0
MOST_BEYOND = 0.15  # of a knob's range, beyond its ends: further away the network is not trained


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


class DrumNetwork:
    """An autoencoder of drum hits, its knob scales and its prior.

    Args:
        weights: arrays by name, as `training.weights.exported` returns them.
    """

    def __init__(self, weights: dict[str, NDArray[np.floating]]) -> None:
        self._weights = {name: np.asarray(value, np.float32) for name, value in weights.items()}
        self.latent = self._weights["decoder0.weight"].shape[1] - len(CLASSES) - len(KNOBS)
        """Number of latent numbers."""

    @classmethod
    def read(cls, path: Path) -> DrumNetwork:
        """Read a network from a safetensors file.

        Raises:
            ModelError: a tensor is missing.
        """
        with safe_open(path, framework="numpy") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        missing = {"mean", "bands", "frames", "knob_low", "knob_high", "encoder0.weight", "decoder0.weight"} - set(
            weights
        )
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
        return numbers[: self.latent], numbers[self.latent :]

    def sample(self, drum: str, random: np.random.Generator) -> tuple[Array, Array]:
        """Draw z and knobs of a class from the prior.

        Args:
            drum: name of the class.
            random: generator.

        Returns:
            z (latent,) and knobs (7,).
        """
        shares = self._weights[f"prior.{drum}.share"].astype(float)
        part = int(random.choice(len(shares), p=shares / shares.sum()))
        mean = self._weights[f"prior.{drum}.mean"][part]
        factor = self._weights[f"prior.{drum}.factor"][part]
        numbers = mean + factor @ np.clip(random.standard_normal(len(mean)), -2, 2).astype(np.float32)
        return numbers[: self.latent], np.clip(numbers[self.latent :], -0.1, 1.1)

    def scaled(self, raw_knobs: Array, drum: str) -> Array:
        """Convert measured knobs to the scale of a class: 0 for its 5th percentile, 1 for its 95th."""
        low, high = (self._weights[name][CLASSES.index(drum)] for name in ("knob_low", "knob_high"))
        return np.asarray((raw_knobs - low) / (high - low), np.float32)

    def decode(self, drum: str, z: Array, knobs: Array, own: Array | None = None, exact: bool = True) -> Hit:
        """Decode a hit.

        Args:
            drum: name of the class.
            z: (latent,) latent numbers.
            knobs: (7,) wanted knobs.
            own: (7,) knobs that the sound has by itself; None for `knobs`. Where the two differ, a player has turned a
                knob. If not all knobs can have their wanted values, those come first.
            exact: whether the knobs are brought to their wanted values by `shaping.shaped`. Otherwise they are where
                the network puts them.
        """
        number = CLASSES.index(drum)
        bands, frames = self._weights["bands"], self._weights["frames"]
        asked = np.clip(knobs, -MOST_BEYOND, 1 + MOST_BEYOND)
        out = self._layers("decoder", np.concatenate((z, _condition(drum, asked))))
        coefficients = out[: -4 * SLOTS].reshape(bands.shape[1], frames.shape[1])
        levels = limited(smoothed(LEVEL_SCALE * (bands @ coefficients @ frames.T) + self._weights["mean"]))
        if exact:
            low, high = self._weights["knob_low"][number], self._weights["knob_high"][number]
            turned = np.abs(knobs - (knobs if own is None else own)) > TURNED
            levels = shaped(levels, asked, low, high, np.where(turned, TURNED_WEIGHT, 1.0))
        return Hit(levels, Sines.from_vector(out[-4 * SLOTS :]), self.scaled(measured_knobs(levels), drum))

    def encode(self, drum: str, levels: Array, sines: Sines) -> tuple[Array, Array]:
        """Return z (latent,) and knobs (7,) of a measured hit.

        Args:
            drum: name of the class.
            levels: (96, 144) in dB.
            sines: its tones.
        """
        weights = self._weights
        knobs = np.clip(self.scaled(measured_knobs(levels), drum), -0.6, 1.6)
        coefficients = weights["bands"].T @ ((levels - weights["mean"]) / LEVEL_SCALE) @ weights["frames"]
        numbers = np.concatenate((coefficients.ravel() / 10, sines.vector(), _condition(drum, knobs)))
        return self._layers("encoder", numbers)[: self.latent], knobs

    def gradient(
        self,
        drum: str,
        z: Array,
        knobs: Array,
        levels: Array,
        sines: NDArray[np.floating],
        sine_weight: float,
    ) -> Array:
        """Return the gradient of the decoder's error by z and knobs, (latent + 7,).

        The error is the mean squared difference of the levels, relative to the loudest cell and in units of 10 dB, over
        the frames in which the wanted hit sounds or the decoded one does, plus that of the sines. Where the wanted hit
        is silent, only what is heard counts.

        Args:
            drum: name of the class.
            z: (latent,) latent numbers.
            knobs: (7,) scaled knobs.
            levels: (96, 144) wanted levels in dB, as `bands.limited` returns.
            sines: (32,) wanted tones, as `Sines.vector`.
            sine_weight: of the sines. A tone counts by its tonality.
        """
        weights = self._weights
        bands, frames = weights["bands"], weights["frames"]
        layers = [(weights[f"decoder{i}.weight"], weights[f"decoder{i}.bias"]) for i in range(3)]
        values = np.concatenate((z, _condition(drum, knobs))).astype(np.float32)
        slopes = []
        for weight, bias in layers[:-1]:
            before = weight @ values + bias
            gate = 1 / (1 + np.exp(-before))
            values = before * gate
            slopes.append(gate * (1 + before * (1 - gate)))
        out = layers[-1][0] @ values + layers[-1][1]
        coefficients = out[: -4 * SLOTS].reshape(bands.shape[1], frames.shape[1])
        decoded = smoothed(bands @ coefficients @ frames.T + weights["mean"] / LEVEL_SCALE)
        peak = int(decoded.argmax())
        error = decoded - decoded.flat[peak] - levels / LEVEL_SCALE
        silent = levels <= FLOOR_DB
        error = np.where(silent, np.maximum(error, 0), error)
        error /= error.shape[0] * max(1, int((~silent).any(0).sum()))
        error.flat[peak] -= error.sum()  # a louder peak lowers all other cells
        by_coefficient = 2 * (bands.T @ smoothed(error, backwards=True) @ frames)
        by_sine = 2 * sine_weight * (out[-4 * SLOTS :] - sines) * np.tile(sines[-SLOTS:] + 0.1, 4)
        slope = layers[-1][0].T @ np.concatenate((by_coefficient.ravel(), by_sine)).astype(np.float32)
        for (weight, _), local in zip(layers[-2::-1], slopes[::-1]):
            slope = weight.T @ (slope * local)
        by_knob = 2 * slope[self.latent + len(CLASSES) :]  # the decoder gets 2 * knobs - 1
        return np.concatenate((slope[: self.latent], by_knob)).astype(np.float32)

    def _layers(self, name: str, numbers: NDArray[Any]) -> Array:
        weights = self._weights
        hidden = numbers.astype(np.float32)
        last = sum(key.startswith(name) and key.endswith(".weight") for key in weights) - 1
        for index in range(last + 1):
            hidden = weights[f"{name}{index}.weight"] @ hidden + weights[f"{name}{index}.bias"]
            if index < last:
                hidden = hidden / (1 + np.exp(-hidden))  # SiLU
        return hidden


def _condition(drum: str, knobs: Array) -> Array:
    one_hot = np.zeros(len(CLASSES), np.float32)
    one_hot[CLASSES.index(drum)] = 1
    return np.concatenate((one_hot, 2 * knobs - 1)).astype(np.float32)
