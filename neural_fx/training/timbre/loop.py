"""The training loop of a timbre: random segments, multi-scale spectral loss, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neural_fx.errors import TrainingError
from neural_fx.timbre.analysis import HOP
from neural_fx.timbre.decoder import Shape
from neural_fx.training.checkpoints import (
    KEEPS_ITS_OWN,
    TAKES_THE_NEW,
    Checkpoint,
    check_about,
    fingerprint,
    read_checkpoint,
    set_rate,
    write_checkpoint,
)
from neural_fx.training.course import VALIDATION_SECONDS, Course, Due
from neural_fx.training.timbre.model import LOUDNESS, ROOM, TimbreModel, loudness_loss, spectral_loss
from neural_fx.training.timbre.recordings import Segments, Solo, split

VALIDATION = 12
"""Segments of the validation part."""


ENOUGH = 1400
"""Steps at the default settings after which a timbre has learned what it will; the bundled ones took 1426 to 1654."""


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
        validate_every: steps between validations; after a minute one is due whatever the number of steps.
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
    """Where the training stands; losses are spectral, plus a share for loudness; NaN before the first validation."""

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
        self.seed = settings.seed
        self.solos = solos
        self.course = Course()
        self.best_loss = math.inf
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

    @property
    def step(self) -> int:
        """Steps done so far."""
        return self.course.steps

    @property
    def elapsed(self) -> float:
        """Seconds spent so far."""
        return self.course.seconds

    @property
    def enough(self) -> float:
        """Steps that a training needs as a rule, with segments of these settings; fewer are too few to judge by."""
        plain = Settings()
        return ENOUGH * plain.seconds * plain.batch / (self.settings.seconds * self.settings.batch)

    @property
    def fraction(self) -> float:
        """How much of the time is spent: 0 to 1."""
        return min(1.0, self.elapsed / (60 * self.settings.minutes))

    def run(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        tick: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """Train until the time is up. Interrupting leaves the best weights in `best`.

        Every step draws from random numbers of its own, so an interrupted training goes on with those that it would
        have had.

        Args:
            report: called after every validation.
            tick: called after every step and every validation.
        """
        began = time.monotonic() - self.elapsed
        validation = Due(VALIDATION_SECONDS)
        loss = math.nan
        while self.fraction < 1:
            loss = self._step(np.random.default_rng([self.seed, self.step]), self.fraction)
            self.course.seconds = time.monotonic() - began
            if self.step % self.settings.validate_every == 0 or validation():
                before = time.monotonic()
                report(self._validate(self.fraction, loss))
                validation.done(time.monotonic() - before)
            tick(self.progress(loss))
        report(self._validate(1.0, loss))
        tick(self.progress(loss))

    def validate(self) -> Progress:
        """Measure the weights as they stand; the best ones are kept in `best`."""
        return self._validate(self.fraction, math.nan)

    def progress(self, loss: float = math.nan) -> Progress:
        """Where the training stands, by its last validation."""
        last = self.course.points[-1][2] if self.course.points else math.nan
        return Progress(self.step, self.fraction, loss, last, self.best_loss)

    def _step(self, rng: np.random.Generator, fraction: float) -> float:
        set_rate(self.optimizer, self.settings.rate, self.step, 50, fraction)
        target, f0, sure, loud = self._tensors(self.segments.draw(rng, self.settings.batch))
        audio = self._synthesise(f0, sure, loud, rng)
        loss = _difference(audio, target) + ROOM * self.model.impulse_response().square().sum()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 3.0)
        self.optimizer.step()
        self.course.steps += 1
        return loss.item()

    def _validate(self, fraction: float, loss: float) -> Progress:
        target, f0, sure, loud = self.check
        with torch.no_grad():
            audio = self._synthesise(f0, sure, loud, np.random.default_rng(0))
            found = _difference(audio, target).item()
        self.course.points.append((self.step, self.elapsed, found))
        if found < self.best_loss:
            self.best_loss = found
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        return Progress(self.step, fraction, loss, found, self.best_loss)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    @cached_property
    def about(self) -> dict[str, object]:
        """What this training is of, to compare with what a checkpoint is of."""
        settings = self.settings
        return {
            "shape of the network": repr(self.model.shape),
            "recordings": fingerprint(solo.audio for solo in self.solos),
            "analysis": fingerprint(part for solo in self.solos for part in solo.analysis),
            "room": settings.room,
            "segment": settings.seconds,
            "seed": settings.seed,
            "batch": settings.batch,
        }

    def save(self, path: Path) -> None:
        """Write a checkpoint (safetensors: numbers and text, nothing that could run), whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        adam = self.optimizer.state_dict()["state"]
        about = {**self.about, "seed": self.seed}
        state = Checkpoint(self.model.state_dict(), self.best, adam, self.course, self.best_loss, about)
        write_checkpoint(path, state)

    def load(self, path: Path) -> list[str]:
        """Go on from a checkpoint: its weights, best weights, optimiser, time spent and random numbers.

        Returns:
            Remarks, each a sentence.

        Raises:
            TrainingError: it is damaged, or of another training.
        """
        try:
            state = read_checkpoint(path)
            seed = int(state.about.get("seed", self.seed))
        except Exception as error:  # safetensors, key and value errors all mean the same here
            raise TrainingError(f"{path}: is not a checkpoint of this training: {error}") from None
        remarks = check_about(path, state.about, self.about, {"seed": KEEPS_ITS_OWN, "batch": TAKES_THE_NEW})
        try:
            self.model.load_state_dict(state.best)
            self.model.load_state_dict(state.model)
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state.adam})
        except Exception as error:  # torch says of shapes and types what it likes
            raise TrainingError(f"{path}: is not a checkpoint of this training: {error}") from None
        self.best = {name: value.to(self.settings.device) for name, value in state.best.items()}
        self.seed = seed
        self.course, self.best_loss = state.course, state.lowest
        if not self.settings.room:
            self._without_room()
        return remarks


def _difference(audio: Tensor, target: Tensor) -> Tensor:
    return spectral_loss(audio, target) + LOUDNESS * loudness_loss(audio, target)
