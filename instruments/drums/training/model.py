"""Define the autoencoder of drum hits in torch: bands and sines to z, and z, class and knobs back to them."""

from __future__ import annotations

from dataclasses import fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from instruments.drums.bands import BANDS, FRAMES, frame_smoothing
from instruments.drums.classes import CLASSES
from instruments.drums.knobs import KNOBS, Weights, raw_knobs
from instruments.drums.network import LEVEL_SCALE
from instruments.drums.sines import SLOTS

SINES = 4 * SLOTS


class Size(NamedTuple):
    """How large an autoencoder is.

    Attributes:
        latent: numbers of z.
        hidden: width of the decoder's two hidden layers.
        encoder: width of the encoder's first hidden layer.
        band_rank, frame_rank: shapes over the bands and over the frames.
    """

    latent: int = 16
    hidden: int = 320
    encoder: int = 384
    band_rank: int = 32
    frame_rank: int = 28


class DrumAutoencoder(nn.Module):
    """A variational autoencoder whose decoder also gets the class and the knobs.

    Args:
        mean: (96, 144) mean levels in dB.
        bands: (96, rank) orthonormal shapes over the bands.
        frames: (144, rank) orthonormal shapes over the frames.
        knob_low, knob_high: (14, 7) the knobs at 0 and 1, by class, in their own units.
        size: of its layers. The ranks are those of `bands` and `frames`.
    """

    mean: Tensor
    bands: Tensor
    frames: Tensor
    knob_low: Tensor
    knob_high: Tensor

    def __init__(
        self,
        mean: np.ndarray,
        bands: np.ndarray,
        frames: np.ndarray,
        knob_low: np.ndarray,
        knob_high: np.ndarray,
        size: Size | None = None,
    ) -> None:
        super().__init__()
        size = size or Size()
        named = {"mean": mean, "bands": bands, "frames": frames, "knob_low": knob_low, "knob_high": knob_high}
        for name, value in named.items():
            self.register_buffer(name, torch.tensor(np.ascontiguousarray(value), dtype=torch.float32))
        for name, value in vars(Weights.make(torch.tensor)).items():
            self.register_buffer(f"formula_{name}", value, persistent=False)
        for index, (_, matrix) in enumerate(frame_smoothing()):
            self.register_buffer(f"smoothing{index}", torch.tensor(matrix), persistent=False)
        coefficients = bands.shape[1] * frames.shape[1]
        condition = len(CLASSES) + len(KNOBS)
        self.encoder = nn.Sequential(
            nn.Linear(coefficients + SINES + condition, size.encoder), nn.SiLU(),
            nn.Linear(size.encoder, 256), nn.SiLU(),
            nn.Linear(256, 2 * size.latent),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(size.latent + condition, size.hidden), nn.SiLU(),
            nn.Linear(size.hidden, size.hidden), nn.SiLU(),
            nn.Linear(size.hidden, coefficients + SINES),
        )  # fmt: skip

    @property
    def formulas(self) -> Weights:
        """The constants of the knobs' formulas, on the device of the network."""
        return Weights(**{field.name: getattr(self, f"formula_{field.name}") for field in fields(Weights)})

    def condition(self, drum: Tensor, knobs: Tensor) -> Tensor:
        """Return the (batch, 21) inputs for classes (batch,) and knobs (batch, 7)."""
        return torch.cat((functional.one_hot(drum, len(CLASSES)).float(), 2 * knobs - 1), 1)

    def encode(self, levels: Tensor, sines: Tensor, drum: Tensor, knobs: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of z: (batch, latent) each.

        Args:
            levels: (batch, 96, 144) in dB.
            sines: (batch, 32).
            drum: (batch,) classes.
            knobs: (batch, 7), scaled.
        """
        coefficients = self.bands.T @ ((levels - self.mean) / LEVEL_SCALE) @ self.frames
        mean, log_variance = self.encoder(
            torch.cat((coefficients.flatten(1) / 10, sines, self.condition(drum, knobs)), 1)
        ).chunk(2, 1)
        return mean, log_variance.clamp(-10, 4)

    def decode(self, z: Tensor, drum: Tensor, knobs: Tensor) -> tuple[Tensor, Tensor]:
        """Return levels (batch, 96, 144) in dB, not limited below, and sines (batch, 32)."""
        out = self.decoder(torch.cat((z, self.condition(drum, knobs)), 1))
        coefficients = out[:, :-SINES].reshape(-1, self.bands.shape[1], self.frames.shape[1])
        levels = LEVEL_SCALE * (self.bands @ coefficients @ self.frames.T) + self.mean
        parts = [
            levels[:, bands] @ getattr(self, f"smoothing{index}") for index, (bands, _) in enumerate(frame_smoothing())
        ]
        return torch.cat(parts, 1), out[:, -SINES:]

    def knobs(self, levels: Tensor, drum: Tensor) -> Tensor:
        """Return the scaled knobs (batch, 7) of levels."""
        raw = torch.stack(raw_knobs(levels, self.formulas, torch.log, torch.exp), -1)
        low = self.knob_low[drum]
        return (raw - low) / (self.knob_high[drum] - low)


def shapes(
    levels: np.ndarray, weights: np.ndarray, size: Size | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean of levels, and the shapes over bands and over frames that explain most of the rest.

    Args:
        levels: (hits, 96, 144) in dB.
        weights: (hits,) of the hits.
        size: whose ranks say how many shapes there are.
    """
    size = size or Size()
    mean = np.average(levels, 0, weights)
    centred = (levels - mean) * np.sqrt(weights / weights.sum())[:, None, None]
    by_band = np.einsum("nbk,nck->bc", centred, centred, optimize=True)
    by_frame = np.einsum("nbk,nbl->kl", centred, centred, optimize=True)
    bands = np.linalg.eigh(by_band)[1][:, ::-1][:, : size.band_rank]
    frames = np.linalg.eigh(by_frame)[1][:, ::-1][:, : size.frame_rank]
    assert bands.shape[0] == BANDS
    assert frames.shape[0] == FRAMES
    return mean, bands, frames
