"""Train the network of `instruments.latent` on a few instruments of a person's own, with checkpoints to go on from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from instruments.latent import features
from instruments.latent.frames import LEVELS
from instruments.latent.network import LatentNetwork
from instruments.latent.training.batches import Batches
from instruments.latent.training.dataset import Dataset
from instruments.latent.training.losses import losses, total
from instruments.latent.training.mel import MelPower
from instruments.latent.training.model import LatentModel
from instruments.latent.training.notes import DeviceNotes
from instruments.latent.training.own_notes import BUNDLED
from instruments.latent.training.settings import Settings as LossSettings
from instruments.latent.training.timbres import instrument_timbres, posterior, refine
from instruments.latent.training.variations import PLAIN
from neural_fx.arrays import Doubles
from neural_fx.training.checkpoints import Weights, fingerprint
from neural_fx.training.trainer import BaseTrainer

MOST_VALIDATED = 40
REFINING_STEPS = 150
OWN_SHARE = 0.6
"""Share of the notes of a batch that are a person's own."""


@dataclass(frozen=True)
class Settings:
    """Settings of a training.

    Attributes:
        minutes: wall time of the training. The learning rate falls over this time.
        rate: peak learning rate.
        seed: random seed.
        validate_every: steps between validations. One is also due after a minute.
        threads: cores to use.
        losses: notes and frames of a batch, variations and weights of the losses.
    """

    minutes: float = 8.0
    rate: float = 2e-3
    seed: int = 0
    validate_every: int = 200
    threads: int = 1
    losses: LossSettings = field(default_factory=LossSettings)


@dataclass(frozen=True)
class Progress:
    """The progress of a training.

    Attributes:
        step: steps done.
        loss: of the last step.
        validation: distance of the held-out notes in dB; NaN before the first validation.
        best: smallest distance so far.
    """

    step: int
    loss: float
    validation: float
    best: float


class _Pair(nn.Module):
    """The network that is trained, and the average of its weights over the last steps, which is kept."""

    live: LatentModel
    average: LatentModel

    def __init__(self, live: LatentModel) -> None:
        super().__init__()
        self.live = live
        self.average = deepcopy(live).requires_grad_(False).eval()

    @torch.no_grad()
    def follow(self, keep: float) -> None:
        """Move the average after a step."""
        for mean, value in zip(self.average.parameters(), self.live.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)


class LatentTrainer(BaseTrainer[Weights, Progress]):
    """Train a network on the training notes of a dataset, and validate it on the held-out ones.

    Without held-out notes, it is validated on the training notes.

    Args:
        data: the notes. The names of replayed instruments begin with `BUNDLED`.
        settings: of the training.
        start: network to begin with.
    """

    WARM_UP_STEPS = 50
    MOST_GRADIENT = 1.0
    NEW_SETTING = "minutes"

    def __init__(self, data: Dataset, settings: Settings, start: LatentModel) -> None:
        torch.set_num_threads(settings.threads)
        self.data = data
        self.settings = settings
        self._pair = _Pair(start)
        super().__init__(settings, self._pair, _copied(self._pair))
        self.optimizer = torch.optim.AdamW(self._pair.live.parameters(), settings.rate, weight_decay=1e-4)
        self._notes = DeviceNotes(data, torch.device("cpu"))
        self._batches = Batches(self._notes, settings.losses.variation)
        self._mel = MelPower(torch.device("cpu"))
        self.own = [i for i, name in enumerate(data.names) if not name.startswith(BUNDLED)]
        mine = np.isin(data.instruments, self.own)
        held = np.flatnonzero(mine & data.held_out)
        self.held_out = held[:MOST_VALIDATED]
        self._judged = self.held_out if len(held) else np.flatnonzero(mine)[:MOST_VALIDATED]
        self._share_own_notes()

    def _share_own_notes(self) -> None:
        """Draw a person's own instruments more often than the replayed ones, which may be many more."""
        seen = self._notes.seen.numpy()
        own = seen[np.isin(seen, self.own)]
        others = seen[~np.isin(seen, self.own)]
        if len(own) and len(others):
            repeats = max(1, round(OWN_SHARE / (1 - OWN_SHARE) * len(others) / len(own)))
            self._notes.seen = torch.as_tensor(np.concatenate((np.tile(own, repeats), others)))

    def best_model(self) -> LatentModel:
        """Return the averaged network of the best validation."""
        pair = deepcopy(self._pair)
        pair.load_state_dict(self.best)
        return pair.average.eval()

    def presets(self, model: LatentModel) -> dict[str, Doubles]:
        """Return the timbres of the person's own instruments: encoded, then moved by descent.

        Args:
            model: that plays them.
        """
        torch.manual_seed(self.settings.seed)
        loss = self.settings.losses
        timbres, _ = instrument_timbres(model, self._notes)
        steps = iter(range(REFINING_STEPS + 1))
        batches = Batches(self._notes, PLAIN)
        size = (loss.notes, loss.frames)
        found, _ = refine(model, batches, timbres, self._mel, loss.weights, size, lambda: next(steps) / REFINING_STEPS)
        values = found.double().numpy()
        return {self.data.names[i]: values[i] for i in self.own}

    def _loss(self, rng: np.random.Generator) -> Tensor:
        torch.manual_seed(int(rng.integers(2**62)))
        settings = self.settings.losses
        batch = self._batches.random(settings.notes, settings.frames)
        model = self._pair.live
        mean, log_variance = posterior(model, batch.summaries, batch.encoded)
        timbres = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        timbre = (timbres * batch.weights[..., None]).sum(dim=1)
        surprise = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=-1).mean()
        frames, outputs = model.decode(timbre, batch.wanted.notes, batch.wanted.times)
        parts = losses(frames, outputs, batch.wanted, self._mel, settings.weights)
        return total(parts) + settings.divergence * surprise

    def _step(self, rng: np.random.Generator, fraction: float) -> float:
        loss = super()._step(rng, fraction)
        self._pair.follow(min(self.settings.losses.averaging, (1 + self.step) / (10 + self.step)))
        return loss

    def _current(self) -> Weights:
        return _copied(self._pair)

    @torch.no_grad()
    def _error(self, current: Weights) -> float:
        model = self._pair.average
        timbres, _ = instrument_timbres(model, self._notes)
        return level_distance(model, self.data, self._judged, timbres)

    def _best_weights(self) -> Weights:
        return self.best

    def _progress(self, fraction: float, loss: float, error: float) -> Progress:
        return Progress(self.step, loss, error, self.best_error)

    def _describe(self) -> dict[str, object]:
        data = self.data
        return {
            "recordings": fingerprint((data.levels, data.table, data.instruments, data.held_out)),
            "minutes": self.settings.minutes,
            "seed": self.settings.seed,
        }

    @property
    def network(self) -> LatentNetwork:
        """The network of the best validation, as it is played."""
        return LatentNetwork(self.best_model().weights())


@torch.no_grad()
def level_distance(model: LatentModel, data: Dataset, chosen: np.ndarray, timbres: Tensor) -> float:
    """Return how far the levels of notes are from those that a network plays, in dB.

    It is the root mean square over all levels that are heard in either, at most 80 dB below the loudest one.

    Args:
        model: the network.
        data: the notes.
        chosen: indexes of the notes.
        timbres: of all instruments, (instruments, timbre).
    """
    found = []
    for index in chosen:
        note = data.note(int(index))
        floor = features.floor_of(note)
        seen = features.note_features(np.array([note.pitch]), np.array([note.velocity]))
        times = features.time_features(note.ticks, np.full(len(note.ticks), note.release))[None]
        timbre = timbres[int(data.instruments[index])][None]
        frames, _ = model.decode(timbre, _tensor(seen), _tensor(times))
        levels = features.unscaled(frames[0, :, :LEVELS].double().numpy())
        error = np.maximum(levels, floor) - np.maximum(note.levels, floor)
        heard = (levels > floor) | (note.levels > floor)
        found.append(float(np.sqrt((error**2)[heard].mean())))
    return float(np.mean(found)) if found else math.nan


def _tensor(values: Doubles) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32)


def _copied(module: nn.Module) -> Mapping[str, Any]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
