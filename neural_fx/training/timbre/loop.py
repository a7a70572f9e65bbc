"""The training loop of a timbre: random segments, multi-scale spectral loss, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neural_fx.errors import TrainingError
from neural_fx.timbre.analysis import HOP
from neural_fx.timbre.decoder import Shape
from neural_fx.training.checkpoints import read_checkpoint, set_rate, write_checkpoint
from neural_fx.training.timbre.model import LOUDNESS, ROOM, TimbreModel, loudness_loss, spectral_loss
from neural_fx.training.timbre.recordings import Segments, Solo, split

VALIDATION = 12
"""Segments of the validation part."""


@dataclass(frozen=True)
class Settings:
    """What the loop can be told.

    Attributes:
        minutes: wall time; the learning rate falls to its end over it.
        seconds: length of a segment.
        batch: segments per step.
        rate: peak learning rate of Adam.
        device: ``cpu`` or another of torch.
        threads: cores to use on the CPU.
        seed: of the start weights and the segments drawn.
        validate_every: steps between validations.
        room: learn a room's impulse response; dry recordings of single notes are better without, as it would be tuned
            to those notes.
    """

    minutes: float = 30.0
    seconds: float = 2.0
    batch: int = 8
    rate: float = 2e-3
    device: str = "cpu"
    threads: int = 2
    seed: int = 0
    validate_every: int = 100
    room: bool = True


@dataclass(frozen=True)
class Progress:
    """Where the training stands; losses are spectral, plus a share for loudness."""

    step: int
    fraction: float
    loss: float
    validation: float
    best: float


class Trainer:
    """Learns a timbre from solo recordings. Weights, optimiser and step go into a checkpoint and come back from it.

    Args:
        shape: of the network.
        solos: analysed recordings; `split` says which of them are held out.

    Raises:
        TrainingError: no stretch is long enough, or the device is missing.
    """

    def __init__(self, shape: Shape, solos: Sequence[Solo], settings: Settings = Settings()) -> None:
        self.settings = settings
        torch.manual_seed(settings.seed)
        torch.set_num_threads(settings.threads)
        try:
            self.model = TimbreModel(shape).to(settings.device)
        except (RuntimeError, AssertionError) as error:
            raise TrainingError(f"device {settings.device!r} cannot be used here: {error}") from None
        if not settings.room:
            self._without_room()
        self.learned, self.held_out = split(solos)
        hops = round(settings.seconds * 250)
        self.segments = Segments(self.learned, hops)
        self.optimizer = torch.optim.Adam(self.model.parameters(), settings.rate)
        self.step, self.elapsed, self.best_loss = 0, 0.0, math.inf
        self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        hops = min(hops, max(solo.frames for solo in self.held_out) - 1)
        self.check = self._tensors(Segments(self.held_out, hops).draw(np.random.default_rng(0), VALIDATION))

    def _without_room(self) -> None:
        self.model.reverb.data.zero_()
        self.model.reverb.requires_grad_(False)

    def _tensors(self, arrays: Sequence[np.ndarray]) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(self.settings.device) for a in arrays]

    def _synthesise(self, f0: Tensor, sure: Tensor, loud: Tensor, rng: np.random.Generator) -> Tensor:
        white = rng.uniform(-1, 1, (len(f0), f0.shape[1] - 1, HOP)).astype(np.float32)
        out: Tensor = self.model(f0, sure, loud, torch.from_numpy(white).to(f0.device))
        return out

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> None:
        """Train until the time is up. Interrupting leaves the best weights in `best`."""
        rng = np.random.default_rng([self.settings.seed, self.step])
        began, before, loss = time.monotonic(), self.elapsed, math.nan
        while (fraction := self.elapsed / (60 * self.settings.minutes)) < 1:
            loss = self._step(rng, fraction)
            self.elapsed = before + time.monotonic() - began
            if self.step % self.settings.validate_every == 0:
                report(self._validate(min(1.0, fraction), loss))
        report(self._validate(1.0, loss))

    def _step(self, rng: np.random.Generator, fraction: float) -> float:
        set_rate(self.optimizer, self.settings.rate, self.step, 50, fraction)
        target, f0, sure, loud = self._tensors(self.segments.draw(rng, self.settings.batch))
        audio = self._synthesise(f0, sure, loud, rng)
        loss = _difference(audio, target) + ROOM * self.model.impulse_response().square().sum()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 3.0)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def _validate(self, fraction: float, loss: float) -> Progress:
        target, f0, sure, loud = self.check
        with torch.no_grad():
            audio = self._synthesise(f0, sure, loud, np.random.default_rng(0))
            found = _difference(audio, target).item()
        if found < self.best_loss:
            self.best_loss = found
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        return Progress(self.step, fraction, loss, found, self.best_loss)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write a checkpoint (safetensors: numbers only, nothing that could run)."""
        progress = (self.step, self.elapsed, self.best_loss)
        write_checkpoint(path, self.model.state_dict(), self.best, self.optimizer, progress)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint.

        Raises:
            TrainingError: it is damaged or belongs to another architecture.
        """
        try:
            weights, self.best, states, progress = read_checkpoint(path)
            self.step, self.elapsed, self.best_loss = progress
            self.model.load_state_dict(weights)
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})
            if not self.settings.room:
                self._without_room()
        except Exception as error:  # safetensors, key, shape and type errors all mean the same here
            raise TrainingError(f"{path}: is not a checkpoint of this training: {error}") from None


def _difference(audio: Tensor, target: Tensor) -> Tensor:
    return spectral_loss(audio, target) + LOUDNESS * loudness_loss(audio, target)
