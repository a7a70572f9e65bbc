"""Train the network of drum hits on measured hits, recorded and made ones."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from instruments.drums.bands import level_distance, limited
from instruments.drums.classes import CLASSES
from instruments.drums.network import MOST_BEYOND
from instruments.drums.training.augment import Augmenter
from instruments.drums.training.features import SYNTHETIC, Features
from instruments.drums.training.losses import knob_miss, level_loss, sine_loss
from instruments.drums.training.model import DrumAutoencoder, shapes
from neural_fx.arrays import Array
from neural_fx.training.checkpoints import Weights, fingerprint
from neural_fx.training.trainer import BaseTrainer

KL_WEIGHT = 1e-3
KNOB_WEIGHT = 0.6
SINE_WEIGHT = 0.5
REAL_SHARE = 0.5  # of each batch
REAL_WEIGHT = 3.0  # of a recorded hit beside a made one, in statistics
AVERAGING = 0.999
MOST_VALIDATED = 200
LEAST_KNOB_RANGE = (6.0, 0.6, 4.0, 6.0, 0.5, 0.8, 0.5)  # in the knobs' own units, for classes with alike sounds

BUNDLED = "bundled network"
"""Source of random hits of the network that a training starts from. They keep it from forgetting other drums."""

MADE = (SYNTHETIC, BUNDLED)
"""Sources of hits that nobody recorded."""


@dataclass(frozen=True)
class Settings:
    """Settings of a training.

    Attributes:
        minutes: wall time of the training. The learning rate falls over this time.
        rate: peak learning rate.
        batch: hits per step.
        seed: random seed for the weights, the batches and the variations.
        validate_every: steps between validations. One is also due after a minute.
        threads: cores to use.
    """

    minutes: float = 20.0
    rate: float = 2e-3
    batch: int = 48
    seed: int = 7
    validate_every: int = 500
    threads: int = 1


@dataclass(frozen=True)
class Progress:
    """The progress of a training.

    Attributes:
        step: steps done.
        fraction: share of the time that is used, 0 to 1.
        loss: of the last step.
        validation: distance of the held-out hits in dB; NaN before the first validation.
        best: smallest distance so far.
    """

    step: int
    fraction: float
    loss: float
    validation: float
    best: float


class _Pair(nn.Module):
    """The network that is trained, and the average of its weights over the last steps, which is kept.

    Args:
        live: the network.
    """

    live: DrumAutoencoder
    average: DrumAutoencoder

    def __init__(self, live: DrumAutoencoder) -> None:
        super().__init__()
        self.live = live
        self.average = deepcopy(live).requires_grad_(False)

    @torch.no_grad()
    def follow(self, steps: int) -> None:
        """Move the average after a step. It moves faster at first, so that it leaves the first weights behind."""
        keep = min(AVERAGING, (1 + steps) / (10 + steps))
        for mean, value in zip(self.average.parameters(), self.live.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)


class DrumTrainer(BaseTrainer[Weights, Progress]):
    """Train an autoencoder on the hits of the training split, and validate it on the held-out ones.

    Without held-out hits, it is validated on the training hits.

    Args:
        features: of all hits.
        settings: of the training.
        start: network to begin with; None for random weights.

    Attributes:
        features: of all hits.
        losses: of the last step, by kind.
    """

    WARM_UP_STEPS = 200
    MOST_GRADIENT = 1.0
    NEW_SETTING = "minutes"

    def __init__(self, features: Features, settings: Settings, start: DrumAutoencoder | None = None) -> None:
        torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        self.features = features
        self.settings = settings
        self.losses: dict[str, float] = {}
        self.hits = features.where(features.split == "train")
        real = ~np.isin(self.hits.source, MADE)
        if start is None:
            weights = np.where(real, REAL_WEIGHT, 1.0)
            basis = shapes(self.hits.levels.astype(np.float32), weights)
            start = DrumAutoencoder(*basis, *knob_scales(self.hits))
        self._pair = _Pair(start)
        super().__init__(settings, self._pair, _copied(self._pair))
        self.optimizer = torch.optim.AdamW(self._pair.live.parameters(), settings.rate, weight_decay=1e-3)
        self._augment = Augmenter(settings.seed)
        self._levels = torch.tensor(self.hits.levels)
        self._sines = torch.tensor(self.hits.sines)
        self._drums = torch.tensor(self.hits.drum)
        self._real = np.flatnonzero(real)
        self._made = np.flatnonzero(~real)
        self._odds = _rare_first(self.hits.drum[self._real])
        own = features.where(~np.isin(features.source, MADE) & (features.drum >= 0) & (features.split != "test"))
        held = own.where(own.split == "held-out")
        self.held_out = held.where(np.arange(len(held.drum))[:MOST_VALIDATED])
        self._judged = self.held_out if len(held.drum) else own.where(np.arange(len(own.drum))[:MOST_VALIDATED])

    @property
    def model(self) -> DrumAutoencoder:
        """The network that is trained."""
        return self._pair.live

    @property
    def average(self) -> DrumAutoencoder:
        """The average of the last steps' networks."""
        return self._pair.average

    def best_model(self) -> DrumAutoencoder:
        """Return the averaged network of the best validation."""
        pair = deepcopy(self._pair)
        pair.load_state_dict(self.best)
        return pair.average.eval()

    def _loss(self, rng: np.random.Generator) -> Tensor:
        random = torch.Generator().manual_seed(int(rng.integers(2**62)))
        self._augment.random = random
        levels, sines, drum = self._batch(rng)
        model = self._pair.live
        knobs = model.knobs(levels, drum).clamp(-0.6, 1.6)
        mean, log_variance = model.encode(levels, sines, drum, knobs)
        z = mean + torch.randn(mean.shape, generator=random) * (0.5 * log_variance).exp()
        decoded, decoded_sines = model.decode(z, drum, as_played(knobs))
        losses = {
            "levels": level_loss(decoded, levels),
            "sines": SINE_WEIGHT * sine_loss(decoded_sines, sines),
            "kl": KL_WEIGHT * 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean(),
            "knobs": KNOB_WEIGHT * knob_miss(model, mean.detach()[::2], drum[::2], knobs[::2], random),
        }
        self.losses = {name: float(loss.detach()) for name, loss in losses.items()}
        return torch.stack(list(losses.values())).sum()

    def _step(self, rng: np.random.Generator, fraction: float) -> float:
        loss = super()._step(rng, fraction)
        self._pair.follow(self.step)
        return loss

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        count = round(self.settings.batch * REAL_SHARE) if len(self._real) else 0
        made = self.settings.batch - count
        chosen = rng.choice(self._real, count, p=self._odds) if count else self._real
        if len(self._made):
            chosen = np.concatenate((chosen, rng.choice(self._made, made)))
        levels, sines = self._augment(self._levels[chosen].float(), self._sines[chosen])
        return levels, sines, self._drums[chosen]

    def _current(self) -> Weights:
        return _copied(self._pair)

    def _error(self, current: Weights) -> float:
        return model_distance(self._pair.average, self._judged)

    def _best_weights(self) -> Weights:
        return self.best

    def _progress(self, fraction: float, loss: float, error: float) -> Progress:
        return Progress(self.step, fraction, loss, error, self.best_error)

    def _describe(self) -> dict[str, object]:
        own = self.features
        return {
            "recordings": fingerprint((own.levels, own.sines, own.drum, own.split == "train")),
            "batch": self.settings.batch,
            "minutes": self.settings.minutes,
            "seed": self.settings.seed,
        }


def as_played(knobs: Tensor) -> Tensor:
    """Return knobs within the range that `DrumNetwork.decode` asks the network for."""
    return knobs.clamp(-MOST_BEYOND, 1 + MOST_BEYOND)


def knob_scales(features: Features) -> tuple[Array, Array]:
    """Return the (14, 7) knobs at 0 and at 1: the 5th and 95th percentile of each class."""
    low: Array = np.zeros((len(CLASSES), features.knobs.shape[1]), np.float32)
    high = np.zeros_like(low)
    for index in range(len(CLASSES)):
        knobs = features.knobs[features.drum == index]
        real = ~np.isin(features.source[features.drum == index], MADE)
        repeated = np.repeat(knobs, np.where(real, round(REAL_WEIGHT), 1), 0)
        low[index], high[index] = np.percentile(repeated, (5, 95), 0)
    missing = np.maximum(0, np.array(LEAST_KNOB_RANGE, np.float32) - (high - low)) / np.float32(2)
    return np.asarray(low - missing), np.asarray(high + missing)


@torch.no_grad()
def model_distance(model: DrumAutoencoder, hits: Features) -> float:
    """Return the mean log-spectral distance in dB of hits to what the network makes of them."""
    levels = torch.tensor(hits.levels.astype(np.float32))
    drum = torch.tensor(hits.drum)
    knobs = model.knobs(levels, drum).clamp(-0.6, 1.6)
    mean, _ = model.encode(levels, torch.tensor(hits.sines), drum, knobs)
    decoded = model.decode(mean, drum, as_played(knobs))[0].numpy()
    distances = [level_distance(limited(a), limited(b)) for a, b in zip(decoded, levels.numpy(), strict=True)]
    return float(np.mean(distances))


def _rare_first(drums: Array) -> Array | None:
    """Return the odds of drawing each hit. Rare classes come up more often, by the square root of their number."""
    if not len(drums):
        return None
    odds = np.bincount(drums, minlength=len(CLASSES)).clip(1)[drums] ** -0.5
    return np.asarray(odds / odds.sum())


def _copied(module: nn.Module) -> Mapping[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
