"""Train a network on random windows of recordings, and keep the weights with the lowest validation ESR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neural_fx.errors import TrainingError
from neural_fx.formats.digest import digest
from neural_fx.networks import Network, build
from neural_fx.training.checkpoints import Weights, fingerprint
from neural_fx.training.evaluate import FEWEST, evaluate_all
from neural_fx.training.learners import Learner
from neural_fx.training.losses import Loss
from neural_fx.training.pairs import Pair
from neural_fx.training.trainer import BaseTrainer

MANY = 20
"""Number of recordings from which on every tenth is for validation. With fewer, it is the last tenth of each."""
ENOUGH = 1200
"""Steps that a training usually needs at the default settings.

Two cores do about this many steps of A1 standard in eight minutes. The bundled Klon capture took 1269.
"""


@dataclass(frozen=True)
class Settings:
    """Settings of a training.

    Attributes:
        minutes: wall time of the training. The learning rate falls over this time.
        epochs: passes over the training audio after which to stop, even if there is time left; None for no limit.
        window: output samples per training window.
        batch: windows per step.
        rate: peak learning rate of Adam.
        device: torch device, such as ``cpu``.
        threads: cores to use on the CPU.
        seed: random seed for the windows.
        validate_every: steps between validations. One is also due after a minute.
        loss: the loss.
    """

    minutes: float = 8.0
    epochs: float | None = None
    window: int = 8192
    batch: int = 16
    rate: float = 4e-3
    device: str = "cpu"
    threads: int = 2
    seed: int = 0
    validate_every: int = 50
    loss: Loss = field(default_factory=Loss)


@dataclass(frozen=True)
class Progress:
    """Progress of a training.

    Attributes:
        step: steps done so far.
        fraction: share of the time or epochs that is used, 0 to 1.
        loss: loss of the last step; NaN before the first.
        validation_esr: full-band ESR of the last validation, as a fraction; NaN before the first.
        best_esr: lowest ESR of all validations; infinity before the first.
    """

    step: int
    fraction: float
    loss: float
    validation_esr: float
    best_esr: float


class Trainer(BaseTrainer[Network, Progress]):
    """Train a network on recordings. A training can be saved to a checkpoint and continued from it.

    Args:
        network: initial network; it is not changed.
        pairs: one recording, or several at different knob positions, at the sample rate of the network.
        settings: settings of the training.

    Attributes:
        best: best network so far.
        course: steps, time and validation ESRs so far.

    Raises:
        TrainingError: no part of a recording is long enough for a window, the knobs do not fit, or torch cannot use
            the device.
    """

    WARM_UP_STEPS = 30
    MOST_GRADIENT = 1.0
    NEW_SETTING = "loss"

    def __init__(self, network: Network, pairs: Pair | Sequence[Pair], settings: Settings = Settings()) -> None:
        self.settings = settings
        self.recordings = [pairs] if isinstance(pairs, Pair) else list(pairs)
        knobs = network.in_channels - 1
        if any(len(pair.knobs) != knobs for pair in self.recordings):
            raise TrainingError(f"the network has {knobs} knobs; expected as many positions for every recording")
        try:
            torch.empty(0, device=settings.device)
        except (RuntimeError, AssertionError) as error:
            raise TrainingError(f"device {settings.device!r} cannot be used here: {error}") from None
        self.learner = Learner(network, settings.device, settings.window, settings.batch, settings.threads)
        self.training, self.validation = _split(self.recordings)
        self.windows = _Windows(self.training, settings.window, self.learner.context)
        self._form = digest(network, weights=False).hex()[:32]
        super().__init__(settings, self.learner.model, network)

    @property
    def best_esr(self) -> float:
        """Validation ESR of the best network, as a fraction."""
        return self.best_error

    @property
    def enough(self) -> float:
        """Steps that a training usually needs with these settings. After fewer, the result says little."""
        plain = Settings()
        return ENOUGH * plain.window * plain.batch / (self.settings.window * self.settings.batch)

    @property
    def fraction(self) -> float:
        """Share of the time or of the epochs that is used, 0 to 1."""
        return min(1.0, max(self.elapsed / (60 * self.settings.minutes), self.step / self.steps))

    @property
    def steps(self) -> float:
        """Largest number of steps by `epochs`; infinity without a limit."""
        if self.settings.epochs is None:
            return math.inf
        usable = sum(int(pair.usable.sum()) for pair in self.training)
        return math.ceil(self.settings.epochs * usable / (self.settings.window * self.settings.batch))

    def _loss(self, rng: np.random.Generator) -> Tensor:
        batch = self.windows.draw(rng, self.settings.batch)
        x, target, knobs, energy = (torch.from_numpy(part).to(self.learner.device) for part in batch)
        loss: Tensor = self.settings.loss(target, self.learner(x, knobs), energy)
        return loss

    def _current(self) -> Network:
        return self.learner.describe()

    def _error(self, current: Network) -> float:
        return evaluate_all(current, self.validation, self.settings.device)

    def _best_weights(self) -> Weights:
        return build(self.best).state_dict()

    def _progress(self, fraction: float, loss: float, error: float) -> Progress:
        return Progress(self.step, fraction, loss, error, self.best_esr)

    def _describe(self) -> dict[str, object]:
        pairs = self.recordings
        return {
            "architecture": self._form,
            "sample rate": [pair.sample_rate for pair in pairs],
            "recordings": fingerprint(signal for pair in pairs for signal in (pair.dry, pair.wet)),
            "mask": fingerprint(pair.usable for pair in pairs),
            "knob positions": [list(pair.knobs) for pair in pairs],
            "seed": self.settings.seed,
            "loss": str(self.settings.loss),
        }


class _Windows:
    """Draw windows at random from all recordings."""

    def __init__(self, pairs: list[Pair], length: int, context: int) -> None:
        self.pairs, self.length, self.context = pairs, length, context
        stretches = [np.insert(pair.starts(length, context), 0, i, axis=1) for i, pair in enumerate(pairs)]
        self.stretches = np.concatenate(stretches)
        if not len(self.stretches):
            raise TrainingError(f"no usable stretch of {length} samples to train on; shorten the window or mask")
        self.ends = np.cumsum(self.stretches[:, 2] - self.stretches[:, 1])
        energies = np.array([np.mean(np.square(pair.wet[pair.usable], dtype=np.float64)) for pair in pairs])
        self.energies = np.maximum(energies, FEWEST * np.median(energies))

    def draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return `count` windows: inputs with context, targets, knob positions, and mean squares of whole targets."""
        x, target, knobs, energy = [], [], [], []
        for place in rng.integers(self.ends[-1], size=count):
            row = int(np.searchsorted(self.ends, place, "right"))
            index, _, stop = self.stretches[row]
            start, pair = stop - (self.ends[row] - place), self.pairs[index]
            x.append(pair.dry[start - self.context : start + self.length])
            target.append(pair.wet[start : start + self.length])
            knobs.append(np.asarray(pair.knobs, np.float32))
            energy.append(self.energies[index])
        return np.stack(x), np.stack(target), np.stack(knobs), np.asarray(energy, np.float32)


def _split(pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Return the recordings to train on, and those to validate with."""
    if len(pairs) >= MANY:
        return [p for i, p in enumerate(pairs) if i % 10 != 9], pairs[9::10]
    halves = [pair.split() for pair in pairs]
    return [first for first, _ in halves], [second for _, second in halves]
