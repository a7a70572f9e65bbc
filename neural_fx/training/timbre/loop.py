"""Train a timbre on random segments with a multi-scale spectral loss, keep the best weights, and checkpoint."""

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
"""Number of validation segments."""


ENOUGH = 1400
"""Steps that a training usually needs at the default settings. The bundled timbres took 1426 to 1654."""


@dataclass(frozen=True)
class Settings:
    """Settings of a training.

    Attributes:
        minutes: wall time of the training. The learning rate falls over this time.
        seconds: length of a segment.
        batch: segments per step.
        rate: peak learning rate of Adam.
        device: torch device, such as ``cpu``.
        threads: cores to use on the CPU.
        seed: random seed for the initial weights and the segments.
        validate_every: steps between validations. One is also due after a minute.
        room: whether to learn the impulse response of a room. Turn it off for dry recordings of single notes, because
            it would be tuned to these notes.
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
    """Progress of a training. Losses are the spectral loss plus a share of the loudness loss.

    Attributes:
        step: steps done so far.
        fraction: share of the time that is used, 0 to 1.
        loss: loss of the last step; NaN before the first.
        validation: loss of the last validation; NaN before the first.
        best: lowest validation loss; infinity before the first.
    """

    step: int
    fraction: float
    loss: float
    validation: float
    best: float


class Trainer:
    """Train a timbre on solo recordings. A training can be saved to a checkpoint and continued from it.

    Args:
        shape: sizes of the network.
        solos: analysed recordings. `split` chooses those for validation.
        settings: settings of the training.

    Attributes:
        model: model with the current weights.
        best: best weights so far.
        best_loss: their validation loss.
        learned, held_out: recordings for training and for validation.
        course: steps, time and validation losses so far.

    Raises:
        TrainingError: no part of the recordings is long enough, or torch cannot use the device.
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
        """Steps that a training usually needs with these settings. After fewer, the result says little."""
        plain = Settings()
        return ENOUGH * plain.seconds * plain.batch / (self.settings.seconds * self.settings.batch)

    @property
    def fraction(self) -> float:
        """Share of the time that is used, 0 to 1."""
        return min(1.0, self.elapsed / (60 * self.settings.minutes))

    def run(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        tick: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """Train until the time is up. An exception leaves the best weights in `best`.

        Every step draws its segments with a random generator of its own. So an interrupted training continues with the
        same segments as an uninterrupted one.

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
        """Validate the current weights, and keep them in `best` if they are the best so far."""
        return self._validate(self.fraction, math.nan)

    def progress(self, loss: float = math.nan) -> Progress:
        """Return the progress as of the last validation.

        Args:
            loss: loss of the last step.
        """
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
        """Description of this training, to compare with that of a checkpoint."""
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
        """Write a checkpoint, whole or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        adam = self.optimizer.state_dict()["state"]
        about = {**self.about, "seed": self.seed}
        state = Checkpoint(self.model.state_dict(), self.best, adam, self.course, self.best_loss, about)
        write_checkpoint(path, state)

    def load(self, path: Path) -> list[str]:
        """Continue from a checkpoint: its weights, best weights, optimiser state, time and random seed.

        Args:
            path: file that `save` wrote.

        Returns:
            Remarks about settings that differ, each a sentence.

        Raises:
            TrainingError: the checkpoint is damaged or belongs to another training.
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
        except Exception as error:  # torch raises several kinds of errors for shapes and types
            raise TrainingError(f"{path}: is not a checkpoint of this training: {error}") from None
        self.best = {name: value.to(self.settings.device) for name, value in state.best.items()}
        self.seed = seed
        self.course, self.best_loss = state.course, state.lowest
        if not self.settings.room:
            self._without_room()
        return remarks


def _difference(audio: Tensor, target: Tensor) -> Tensor:
    return spectral_loss(audio, target) + LOUDNESS * loudness_loss(audio, target)
