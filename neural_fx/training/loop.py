"""The training loop: random windows of recordings, best weights by validation ESR, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neural_fx.engines import open_engine
from neural_fx.errors import TrainingError
from neural_fx.formats.digest import digest
from neural_fx.formats.knobbed import fold
from neural_fx.formats.network import Knobbed, Network
from neural_fx.models import build
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
from neural_fx.training.learners import MEMORY, Learner
from neural_fx.training.losses import Loss
from neural_fx.training.pairs import Pair

MANY = 20
"""From this many recordings on, every tenth is for validation; of fewer, the last tenth of each."""
FEWEST = 1e-3
"""A recording counts as if it had at least this share of the median recording's energy."""


ENOUGH = 1200
"""Steps at the default settings after which a network has learned what it will: about what two cores do in eight
minutes of A1 standard. The bundled Klon capture took 1269 for an ESR of 0.3 %."""


@dataclass(frozen=True)
class Settings:
    """What the loop can be told.

    Attributes:
        minutes: wall time; the learning rate falls to its end over it.
        epochs: passes over the training audio after which to stop even if there is time left; None: no limit.
        window: output samples per training window.
        batch: windows per step.
        rate: peak learning rate of Adam.
        device: ``cpu`` or another of torch.
        threads: cores to use on the CPU.
        seed: of the windows drawn.
        validate_every: steps between validations; after a minute one is due whatever the number of steps.
        loss: what is minimised.
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
    """Where the training stands. ESRs are plain, full-band fractions of the validation part; NaN before the first."""

    step: int
    fraction: float
    loss: float
    validation_esr: float
    best_esr: float


class Trainer:
    """Trains a network on recordings. Weights, optimizer and step go into a checkpoint and come back from it.

    Args:
        network: the start (its weights are not changed; read the result from `best`).
        pairs: one recording, or several at different knob positions, at the rate the network shall run at.

    Raises:
        TrainingError: no stretch is long enough for a window, the knobs do not fit, or the device is missing.
    """

    def __init__(self, network: Network, pairs: Pair | Sequence[Pair], settings: Settings = Settings()) -> None:
        self.settings = settings
        self.recordings = [pairs] if isinstance(pairs, Pair) else list(pairs)
        knobs = network.in_channels - 1
        if any(len(pair.knobs) != knobs for pair in self.recordings):
            raise TrainingError(f"the network has {knobs} knobs; every recording needs as many positions")
        try:
            torch.empty(0, device=settings.device)
        except (RuntimeError, AssertionError) as error:
            raise TrainingError(f"device {settings.device!r} cannot be used here: {error}") from None
        self.learner = Learner(network, settings.device, settings.window, settings.batch, settings.threads)
        self.training, self.validation = _split(self.recordings)
        self.windows = _Windows(self.training, settings.window, self.learner.context)
        self.optimizer = torch.optim.Adam(self.learner.parameters(), settings.rate)
        self.seed = settings.seed
        self.course = Course()
        self.best, self.best_esr = network, math.inf
        self._form = digest(network, weights=False).hex()[:32]

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
        """Steps that a training needs as a rule, with windows of these settings; fewer are too few to judge by."""
        plain = Settings()
        return ENOUGH * plain.window * plain.batch / (self.settings.window * self.settings.batch)

    @property
    def fraction(self) -> float:
        """How much of the time, or of the epochs, is spent: 0 to 1."""
        return min(1.0, max(self.elapsed / (60 * self.settings.minutes), self.step / self.steps))

    @property
    def steps(self) -> float:
        """Steps that `epochs` allows; infinity if it does not say."""
        if self.settings.epochs is None:
            return math.inf
        usable = sum(int(pair.usable.sum()) for pair in self.training)
        return math.ceil(self.settings.epochs * usable / (self.settings.window * self.settings.batch))

    def run(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        tick: Callable[[Progress], None] = lambda progress: None,
    ) -> Network:
        """Train until the time is up, and return the best network found. Interrupting leaves it in `best`.

        Every step draws its windows from random numbers of its own, so an interrupted training goes on with those
        that it would have had.

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
        return self.best

    def validate(self) -> Progress:
        """Measure the weights as they stand; the best ones are kept in `best`."""
        return self._validate(self.fraction, math.nan)

    def progress(self, loss: float = math.nan) -> Progress:
        """Where the training stands, by its last validation."""
        last = self.course.points[-1][2] if self.course.points else math.nan
        return Progress(self.step, self.fraction, loss, last, self.best_esr)

    def _step(self, rng: np.random.Generator, fraction: float) -> float:
        set_rate(self.optimizer, self.settings.rate, self.step, 30, fraction)
        batch = self.windows.draw(rng, self.settings.batch)
        x, target, knobs, energy = (torch.from_numpy(part).to(self.learner.device) for part in batch)
        loss: Tensor = self.settings.loss(target, self.learner(x, knobs), energy)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
        self.optimizer.step()
        self.course.steps += 1
        return loss.item()

    def _validate(self, fraction: float, loss: float) -> Progress:
        network = self.learner.describe()
        found = evaluate_all(network, self.validation, self.settings.device)
        self.course.points.append((self.step, self.elapsed, found))
        if found < self.best_esr:
            self.best, self.best_esr = network, found
        return Progress(self.step, fraction, loss, found, self.best_esr)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    @cached_property
    def about(self) -> dict[str, object]:
        """What this training is of, to compare with what a checkpoint is of."""
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

    def save(self, path: Path) -> None:
        """Write a checkpoint (safetensors: numbers and text, nothing that could run), whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        best = build(self.best).state_dict()
        adam = self.optimizer.state_dict()["state"]
        about = {**self.about, "seed": self.seed}
        state = Checkpoint(self.learner.model.state_dict(), best, adam, self.course, self.best_esr, about)
        write_checkpoint(path, state)

    def load(self, path: Path, same_data: bool = True) -> list[str]:
        """Go on from a checkpoint: its weights, best weights, optimiser, time spent and random numbers.

        Args:
            path: what `save` wrote.
            same_data: False to go on with other recordings on purpose.

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
        remarks = (
            check_about(path, state.about, self.about, {"seed": KEEPS_ITS_OWN, "loss": TAKES_THE_NEW})
            if same_data
            else []
        )
        try:
            self.learner.model.load_state_dict(state.best)
            self.best = self.learner.describe()
            self.learner.model.load_state_dict(state.model)
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state.adam})
        except Exception as error:  # torch says of shapes and types what it likes
            raise TrainingError(f"{path}: is not a checkpoint of this training: {error}") from None
        self.seed = seed
        self.course, self.best_esr = state.course, state.lowest
        return remarks


class _Windows:
    """Where windows can begin, over all recordings."""

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
        """`count` windows: inputs with context, targets, knobs, mean squares of the recordings' targets."""
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
    """To train on, and to validate with."""
    if len(pairs) >= MANY:
        return [p for i, p in enumerate(pairs) if i % 10 != 9], pairs[9::10]
    halves = [pair.split() for pair in pairs]
    return [first for first, _ in halves], [second for _, second in halves]


def measure_esr(pair: Pair, output: np.ndarray) -> float:
    """ESR of an output against the usable samples of a pair's wet recording."""
    target = pair.wet[pair.usable].astype(np.float64)
    return float(np.sum((target - output[pair.usable]) ** 2) / max(np.sum(target**2), 1e-12))


def evaluate_all(network: Network, pairs: Sequence[Pair], device: str = "cpu") -> float:
    """Mean ESR over recordings; a nearly silent one counts as if it had `FEWEST` of the median one's energy."""
    targets = [pair.wet[pair.usable].astype(np.float64) for pair in pairs]
    energies = np.array([target @ target for target in targets])
    errors = [np.sum((t - play(network, p, device)[p.usable]) ** 2) for t, p in zip(targets, pairs, strict=True)]
    return float(np.mean(np.array(errors) / np.maximum(energies, max(FEWEST * float(np.median(energies)), 1e-12))))


def evaluate_network(network: Network, pair: Pair, device: str = "cpu") -> float:
    """ESR of a network over a pair, at the pair's knobs, from a settled start, as a fraction."""
    return measure_esr(pair, play(network, pair, device))


def play(network: Network, pair: Pair, device: str = "cpu") -> np.ndarray:
    """A network's output for a pair's dry recording, at the pair's knobs, from a settled start."""
    if isinstance(network, Knobbed):
        network, knobs = fold(network, pair.knobs, levels=False), np.zeros(0, np.float32)
    else:
        knobs = np.asarray(pair.knobs, np.float32)
    stream = open_engine(network, device).stream(1)
    stream.reset(max(network.receptive_field, MEMORY), knobs)
    x = np.concatenate((pair.dry[None], np.repeat(knobs[:, None], len(pair.dry), 1)))
    output: np.ndarray = stream.process(x[None])[0, 0]
    return output
