"""Train the network of `instruments.latent` on a CPU or a GPU, by the clock."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from instruments.latent.files import save_network
from instruments.latent.network import LatentNetwork
from instruments.latent.training.batches import Batch, Batches
from instruments.latent.training.dataset import Dataset
from instruments.latent.training.losses import between, losses
from instruments.latent.training.mel import MelPower
from instruments.latent.training.model import LatentModel
from instruments.latent.training.notes import DeviceNotes
from instruments.latent.training.settings import Settings
from instruments.latent.training.timbres import instrument_timbres, posterior, refine
from instruments.latent.training.variations import PLAIN
from neural_fx.files import replacing

Report = Callable[[dict[str, float]], None]
_WARM_UP = 0.02
_TABLE_RATE = 5.0
_MORPH_FRAMES = 8


@dataclass
class Trained:
    """The result of a training.

    Attributes:
        model: with the averaged weights.
        notes: of the training.
        timbres: of all instruments, (instruments, timbre).
        steps: that were made.
    """

    model: LatentModel
    notes: DeviceNotes
    timbres: Tensor
    steps: int


def train(
    data: Dataset,
    out: Path,
    settings: Settings,
    report: Report | None = None,
    *,
    checkpoint: Path | None = None,
    presets: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    start: LatentModel | None = None,
) -> Trained:
    """Train a network, and write it with the timbres of the instruments as presets.

    Goes on from the checkpoint if there is one. The file is written at every report, and replaced as a whole.

    Args:
        data: the notes.
        out: file of the network.
        settings: of the training.
        report: is called with the time, the number of steps and the mean losses since the last report.
        checkpoint: file of the state of the training; None for the output's name with ``.checkpoint.pt``.
        presets: names of presets by name of the instrument; None names all instruments by their own names.
        metadata: of the file.
        start: a network to go on from, of the sizes of the settings; None begins with random weights.

    Raises:
        ValueError: there is nothing to train on.
    """
    trainer = Trainer(data, settings, checkpoint or out.with_suffix(".checkpoint.pt"), start)
    names = {name: name for name in data.names} if presets is None else presets

    def write(timbres: Tensor) -> None:
        values = timbres.cpu().double().numpy()
        found = {names[name]: values[i] for i, name in enumerate(data.names) if name in names}
        save_network(out, LatentNetwork(trainer.average.weights()), found, metadata)

    while trainer.spent < trainer.main_seconds:
        losses_since = trainer.run(min(settings.report_seconds, trainer.main_seconds - trainer.spent))
        trainer.save()
        write(trainer.timbres())
        if report is not None:
            report(losses_since)
    timbres = trainer.refined()
    trainer.save()
    write(timbres)
    return Trained(trainer.average, trainer.notes, timbres, trainer.steps)


class Trainer:
    """The state of a training.

    Args:
        data: the notes.
        settings: of the training.
        checkpoint: file to go on from, and to write.
        start: as for `train`.
    """

    def __init__(self, data: Dataset, settings: Settings, checkpoint: Path, start: LatentModel | None = None) -> None:
        began = time.monotonic()
        self.settings = settings
        self.checkpoint = checkpoint
        self.device = chosen_device(settings.device)
        torch.manual_seed(settings.seed)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        self.notes = DeviceNotes(data, self.device)
        if len(self.notes.seen) == 0:
            raise ValueError("no instrument to train on: each needs notes that are held for over a second")
        self.batches = Batches(self.notes, settings.variation)
        self.mel = MelPower(self.device)
        self.model = LatentModel(settings.sizes, settings.dropout).to(self.device)
        if start is not None:
            self.model.load_state_dict(start.state_dict())
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        size = (len(data.names), settings.sizes.timbre)
        self.table = nn.Parameter(torch.zeros(size, device=self.device))
        self.spreads = torch.zeros(size, device=self.device)
        self.free = False
        self.spent = 0.0
        self.steps = 0
        groups = [
            {"params": list(self.model.parameters()), "scale": 1.0},
            {"params": [self.table], "scale": _TABLE_RATE, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, lr=settings.first_rate, weight_decay=settings.weight_decay, fused=self.device.type == "cuda"
        )
        self._parameters = [*self.model.parameters(), self.table]
        self._kinds: list[str] = []
        self._load()
        torch.manual_seed(settings.seed + self.steps)
        self.spent += time.monotonic() - began

    @property
    def main_seconds(self) -> float:
        """Return the time before the presets are refined."""
        return self.settings.seconds * (1 - self.settings.refining)

    def run(self, seconds: float) -> dict[str, float]:
        """Train for some seconds, and return the time, the number of steps and the mean losses.

        Args:
            seconds: by the clock.
        """
        began = time.monotonic()
        before = self.steps
        sums = torch.zeros(0, device=self.device)
        while (now := time.monotonic() - began) < seconds:
            share = (self.spent + now) / self.main_seconds
            if not self.free and share >= self.settings.free_from and self.settings.free_share > 0:
                self._set_free()
            for group in self.optimizer.param_groups:
                group["lr"] = group["scale"] * learning_rate(share, self.settings)
            found = self.step()
            sums = sums + found if len(sums) else found
        steps = self.steps - before
        means = {name: round(value / steps, 4) for name, value in zip(self._kinds, sums.tolist())}
        self.spent += time.monotonic() - began
        return {"minutes": round(self.spent / 60, 2), "steps": self.steps, "notes": self.notes.data.notes, **means}

    def step(self) -> Tensor:
        """Make one step, and return its losses, (kinds,)."""
        settings = self.settings
        batch = self.batches.random(settings.notes, settings.frames)
        parts = self._losses(batch)
        self._kinds = list(parts)
        values = torch.stack(list(parts.values()))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(values.sum())
        # A single overflow must not end a training.
        for parameter in self._parameters:
            if parameter.grad is not None:
                torch.nan_to_num_(parameter.grad, nan=0.0, posinf=0.0, neginf=0.0)
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self.optimizer.step()
        self.steps += 1
        averaging = min(settings.averaging, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - averaging)
        return values.detach()

    def timbres(self) -> Tensor:
        """Return the timbres of all instruments, (instruments, timbre)."""
        timbres, _ = instrument_timbres(self.average, self.notes)
        if self.free:
            timbres[self.notes.seen] = self.table.detach()[self.notes.seen]
        return timbres

    def refined(self) -> Tensor:
        """Return the timbres of all instruments after the time for their refining."""
        settings = self.settings
        began = time.monotonic()
        before = self.spent

        def share() -> float:
            self.spent = before + time.monotonic() - began
            return (self.spent - self.main_seconds) / max(settings.seconds - self.main_seconds, 1e-9)

        batches = Batches(self.notes, PLAIN)
        size = settings.notes, settings.frames
        return refine(self.average, batches, self.timbres(), self.mel, settings.weights, size, share)[0]

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "table": self.table.detach(),
            "spreads": self.spreads,
            "free": self.free,
            "seconds": self.spent,
            "steps": self.steps,
        }
        with replacing(self.checkpoint) as part:
            torch.save(state, part)

    def _load(self) -> None:
        if not self.checkpoint.is_file():
            return
        state = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            self.table.copy_(state["table"])
        self.spreads = state["spreads"]
        self.free, self.spent, self.steps = state["free"], state["seconds"], state["steps"]

    def _set_free(self) -> None:
        """Begin to learn the timbres of instruments without the encoder."""
        timbres, self.spreads = instrument_timbres(self.average, self.notes)
        with torch.no_grad():
            self.table.copy_(timbres)
        self.free = True

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        settings = self.settings
        mean, log_variance = posterior(self.model, batch.summaries, batch.encoded)
        timbres = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        timbre = (timbres * batch.weights[..., None]).sum(dim=1)
        surprise = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=-1).mean()
        if self.free:
            own = F.embedding(batch.instruments, self.table)
            own = own + torch.randn_like(own) * self.spreads[batch.instruments]
            free = batch.own & (torch.rand(len(own), device=self.device) < settings.free_share)
            timbre = torch.where(free[:, None], own, timbre)
        wanted = batch.wanted
        frames, outputs = self.model.decode(timbre, wanted.notes, wanted.times)
        parts = losses(frames, outputs, wanted, self.mel, settings.weights)
        parts["kl"] = settings.divergence * surprise
        if settings.morph > 0:
            some = max(settings.notes // 4, 1)
            seen = wanted.notes[:some], wanted.times[:some, :_MORPH_FRAMES]
            share = torch.rand(some, device=self.device)
            other = timbre.roll(some, 0)[:some]
            last, _ = self.model.decode(other, *seen)
            middle, _ = self.model.decode(torch.lerp(timbre[:some], other, share[:, None]), *seen)
            first = frames[:some, :_MORPH_FRAMES]
            parts["morph"] = settings.morph * between(middle, first, last, share, wanted.floors[:some])
        return parts


def learning_rate(share: float, settings: Settings) -> float:
    """Return the learning rate at a share of the training, 0 to 1: a short rise, then half a cosine.

    Args:
        share: of the time.
        settings: with both rates.
    """
    first, last = settings.first_rate, settings.last_rate
    share = min(share, 1.0)
    return min(1.0, share / _WARM_UP) * (last + (first - last) * 0.5 * (1 + math.cos(math.pi * share)))


def chosen_device(name: str) -> torch.device:
    """Return the device of this name; "auto" is a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
