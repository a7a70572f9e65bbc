"""Train the network of drum hits step by step, on the CPU or on a GPU."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from demos.drums.losses import level_loss
from instruments.drums.bands import FLOOR_DB
from instruments.drums.classes import CLASSES
from instruments.drums.training.augment import Augmenter, limited
from instruments.drums.training.features import Features
from instruments.drums.training.losses import sine_loss
from instruments.drums.training.model import DrumAutoencoder, Size, shapes

BATCH = 48
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 200
KL_WEIGHT = 1e-3
KNOB_WEIGHT = 0.6
KNOB_WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 1.0)  # `decay` is the hardest to follow
SINE_WEIGHT = 0.5
REAL_SHARE = 0.5  # of each batch
VARIED_SHARE = 0.6  # of the rest, once there are varied hits
REAL_WEIGHT = 3.0  # of a recorded hit beside a synthesised one, in statistics
AVERAGING = 0.999
INPUT_NOISE_DB = 1.5  # two hits of one noise differ that much, and should have one z
LEAST_KNOB_RANGE = (6.0, 0.6, 4.0, 6.0, 0.5, 0.8, 0.5)  # in the knobs' own units, for classes with alike sounds


def knob_scales(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Return the (14, 7) knobs at 0 and at 1: the 5th and 95th percentile of each class."""
    low, high = np.zeros((2, len(CLASSES), features.knobs.shape[1]), np.float32)
    for index in range(len(CLASSES)):
        knobs = features.knobs[features.drum == index]
        real = features.source[features.drum == index] != "synthetic"
        repeated = np.repeat(knobs, np.where(real, round(REAL_WEIGHT), 1), 0)
        low[index], high[index] = np.percentile(repeated, (5, 95), 0)
    missing = np.maximum(0, np.array(LEAST_KNOB_RANGE) - (high - low)) / 2
    return low - missing, high + missing


class Trainer:
    """Trains an autoencoder on the hits of the training split.

    Args:
        features: of all hits.
        seed: of weights, batches and variations.
        device: that computes.
        size: of the autoencoder.
        batch: hits of a step; None for `BATCH`.
    """

    def __init__(
        self,
        features: Features,
        seed: int = 7,
        device: torch.device | str = "cpu",
        size: Size | None = None,
        batch: int | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.device = torch.device(device)
        self.batch = batch or BATCH
        self.hits = features.where(features.split == "train")
        real = self.hits.source != "synthetic"
        weights = np.where(real, REAL_WEIGHT, 1.0)
        basis = shapes(self.hits.levels.astype(np.float32), weights, size)
        self.model = DrumAutoencoder(*basis, *knob_scales(self.hits), size).to(self.device)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGING)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), LEARNING_RATE, weight_decay=1e-2)
        self.augment = Augmenter(seed, self.device)
        self.levels = torch.tensor(self.hits.levels, device=self.device)
        self.sines = torch.tensor(self.hits.sines, device=self.device)
        self.drums = torch.tensor(self.hits.drum, device=self.device)
        self.real = torch.tensor(np.flatnonzero(real), device=self.device)
        self.synthetic = torch.tensor(np.flatnonzero(~real), device=self.device)
        self.varied = torch.zeros(0, dtype=torch.long, device=self.device)
        # Rare classes come up more often, by the square root of their number.
        counts = torch.bincount(self.drums[self.real], minlength=len(CLASSES)).clamp(min=1)
        self.real_odds = counts[self.drums[self.real]].double() ** -0.5
        self.knob_weights = torch.tensor(KNOB_WEIGHTS, device=self.device)
        self.steps = 0
        self.seconds = 0.0

    def add(self, varied: Features) -> None:
        """Add synthesised hits of wide variety to the training. Statistics and the prior do not use them."""
        start = len(self.drums)
        self.levels = torch.cat((self.levels, torch.tensor(varied.levels, device=self.device)))
        self.sines = torch.cat((self.sines, torch.tensor(varied.sines, device=self.device)))
        self.drums = torch.cat((self.drums, torch.tensor(varied.drum, device=self.device)))
        more = torch.arange(start, len(self.drums), device=self.device)
        self.varied = torch.cat((self.varied, more))

    def step(self, fraction: float) -> dict[str, Tensor]:
        """Train one batch.

        Args:
            fraction: of the whole training, for the learning rate.
        """
        warm = min(1.0, self.steps / WARM_UP_STEPS)
        rate = LEARNING_RATE * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
        for group in self.optimizer.param_groups:
            group["lr"] = max(rate, 1e-5)
        levels, sines, drum = self._batch()
        knobs = self.model.knobs(levels, drum).clamp(-0.6, 1.6)
        seen = levels + INPUT_NOISE_DB * torch.randn_like(levels) * (levels > FLOOR_DB)
        mean, log_variance = self.model.encode(seen, sines, drum, knobs)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        decoded, decoded_sines = self.model.decode(z, drum, knobs)
        losses = {
            "levels": level_loss(decoded, levels),
            "sines": SINE_WEIGHT * sine_loss(decoded_sines, sines),
            "kl": KL_WEIGHT * 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean(),
            "knobs": KNOB_WEIGHT * self._knob_miss(mean.detach()[::2], drum[::2], knobs[::2]),
        }
        self.optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.steps += 1
        return {name: loss.detach() for name, loss in losses.items()}

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        count = round(self.batch * REAL_SHARE)
        varied = round((self.batch - count) * VARIED_SHARE) if len(self.varied) else 0
        chosen = torch.cat(
            (
                self.real[torch.multinomial(self.real_odds, count, replacement=True)],
                self._any(self.synthetic, self.batch - count - varied),
                self._any(self.varied, varied),
            )
        )
        drum = self.drums[chosen]
        levels, sines = self.augment(self.levels[chosen].float(), self.sines[chosen], drum)
        return levels, sines, drum

    def _any(self, numbers: Tensor, count: int) -> Tensor:
        return numbers[torch.randint(max(1, len(numbers)), (count,), device=self.device)]

    def _knob_miss(self, z: Tensor, drum: Tensor, knobs: Tensor) -> Tensor:
        """Return how far knobs are missed that were asked of any z: mixed, or with noise, and of any value."""
        order = torch.randperm(len(z), device=z.device)
        share = torch.rand(len(z), 1, device=z.device)
        z = share * z + (1 - share) * z[order] + 0.3 * torch.randn_like(z)
        asked = knobs.clone()
        moved = torch.rand_like(asked) < 0.35
        asked = torch.where(moved, 1.3 * torch.rand_like(asked) - 0.15, asked)
        levels, _ = self.model.decode(z, drum, asked)
        miss = self.model.knobs(limited(levels), drum) - asked
        size = torch.nn.functional.smooth_l1_loss(miss, torch.zeros_like(miss), beta=0.3, reduction="none")
        return (size * self.knob_weights).mean()

    def state(self) -> dict[str, object]:
        """Return everything that a checkpoint needs."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
        }

    def load(self, state: dict[str, object]) -> None:
        """Continue from a checkpoint."""
        for name in ("model", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.steps = int(str(state["steps"]))
        self.seconds = float(str(state["seconds"]))
