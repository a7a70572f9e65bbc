"""Train a timbre on random segments with a multi-scale spectral loss, and keep the best weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neural_fx.errors import TrainingError
from neural_fx.timbre.analysis import HOP
from neural_fx.timbre.decoder import Shape
from neural_fx.training.checkpoints import Weights, fingerprint
from neural_fx.training.timbre.model import LOUDNESS, ROOM, TimbreModel, loudness_loss, spectral_loss
from neural_fx.training.timbre.recordings import Segments, Solo, split
from neural_fx.training.trainer import BaseTrainer

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


class Trainer(BaseTrainer[Weights, Progress]):
    """Train a timbre on solo recordings. A training can be saved to a checkpoint and continued from it.

    Args:
        shape: sizes of the network.
        solos: analysed recordings. `split` chooses those for validation.
        settings: settings of the training.

    Attributes:
        model: model with the current weights.
        best: best weights so far.
        learned, held_out: recordings for training and for validation.
        course: steps, time and validation losses so far.

    Raises:
        TrainingError: no part of the recordings is long enough, or torch cannot use the device.
    """

    WARM_UP_STEPS = 50
    MOST_GRADIENT = 3.0
    NEW_SETTING = "batch"

    def __init__(self, shape: Shape, solos: Sequence[Solo], settings: Settings = Settings()) -> None:
        self.settings = settings
        torch.manual_seed(settings.seed)
        torch.set_num_threads(settings.threads)
        try:
            self.model = TimbreModel(shape).to(settings.device)
        except (RuntimeError, AssertionError) as error:
            raise TrainingError(f"device {settings.device!r} cannot be used here: {error}") from None
        if not settings.room:
            self._remove_room()
        self.solos = solos
        self.learned, self.held_out = split(solos)
        hops = round(settings.seconds * 250)
        self.segments = Segments(self.learned, hops)
        hops = min(hops, max(solo.frames for solo in self.held_out) - 1)
        self.check = self._tensors(Segments(self.held_out, hops).draw(np.random.default_rng(0), VALIDATION))
        super().__init__(settings, self.model, self._current())

    @property
    def best_loss(self) -> float:
        """Validation loss of the best weights."""
        return self.best_error

    @property
    def enough(self) -> float:
        """Steps that a training usually needs with these settings. After fewer, the result says little."""
        plain = Settings()
        return ENOUGH * plain.seconds * plain.batch / (self.settings.seconds * self.settings.batch)

    def load(self, path: Path, same_data: bool = True) -> list[str]:
        remarks = super().load(path, same_data)
        if not self.settings.room:
            self._remove_room()
        return remarks

    def _loss(self, rng: np.random.Generator) -> Tensor:
        target, f0, sure, loud = self._tensors(self.segments.draw(rng, self.settings.batch))
        audio = self._synthesise(f0, sure, loud, rng)
        return _difference(audio, target) + ROOM * self.model.impulse_response().square().sum()

    def _current(self) -> Weights:
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def _error(self, current: Weights) -> float:
        target, f0, sure, loud = self.check
        with torch.no_grad():
            audio = self._synthesise(f0, sure, loud, np.random.default_rng(0))
            return _difference(audio, target).item()

    def _best_weights(self) -> Weights:
        return self.best

    def _progress(self, fraction: float, loss: float, error: float) -> Progress:
        return Progress(self.step, fraction, loss, error, self.best_loss)

    def _describe(self) -> dict[str, object]:
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

    def _remove_room(self) -> None:
        """Make the room silent, and keep it so."""
        self.model.reverb.data.zero_()
        self.model.reverb.requires_grad_(False)

    def _tensors(self, arrays: Sequence[np.ndarray]) -> list[Tensor]:
        return [torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(self.settings.device) for a in arrays]

    def _synthesise(self, f0: Tensor, sure: Tensor, loud: Tensor, rng: np.random.Generator) -> Tensor:
        white = rng.uniform(-1, 1, (len(f0), f0.shape[1] - 1, HOP)).astype(np.float32)
        out: Tensor = self.model(f0, sure, loud, torch.from_numpy(white).to(f0.device))
        return out


def _difference(audio: Tensor, target: Tensor) -> Tensor:
    return spectral_loss(audio, target) + LOUDNESS * loudness_loss(audio, target)
