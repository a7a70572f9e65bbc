"""Train a network on random windows of recordings, keep the weights with the lowest validation ESR, and checkpoint."""

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
from neural_fx.networks import Knobbed, Network, build
from neural_fx.networks.knobbed.folding import fold
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
"""Number of recordings from which on every tenth is for validation. With fewer, it is the last tenth of each."""
FEWEST = 1e-3
"""Smallest energy that a recording counts with, as a share of the median recording's energy."""


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


class Trainer:
    """Train a network on recordings. A training can be saved to a checkpoint and continued from it.

    Args:
        network: initial network; it is not changed.
        pairs: one recording, or several at different knob positions, at the sample rate of the network.
        settings: settings of the training.

    Attributes:
        best: best network so far.
        best_esr: its validation ESR, as a fraction.
        course: steps, time and validation errors so far.

    Raises:
        TrainingError: no part of a recording is long enough for a window, the knobs do not fit, or torch cannot use
            the device.
    """

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

    def run(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        tick: Callable[[Progress], None] = lambda progress: None,
    ) -> Network:
        """Train until the time is up, and return the best network. An exception leaves it in `best`.

        Every step draws its windows with a random generator of its own. So an interrupted training continues with the
        same windows as an uninterrupted one.

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
        """Validate the current weights, and keep them in `best` if they are the best so far."""
        return self._validate(self.fraction, math.nan)

    def progress(self, loss: float = math.nan) -> Progress:
        """Return the progress as of the last validation.

        Args:
            loss: loss of the last step.
        """
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
        """Description of this training, to compare with that of a checkpoint."""
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
        """Write a checkpoint, whole or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        best = build(self.best).state_dict()
        adam = self.optimizer.state_dict()["state"]
        about = {**self.about, "seed": self.seed}
        state = Checkpoint(self.learner.model.state_dict(), best, adam, self.course, self.best_esr, about)
        write_checkpoint(path, state)

    def load(self, path: Path, same_data: bool = True) -> list[str]:
        """Continue from a checkpoint: its weights, best weights, optimiser state, time and random seed.

        Args:
            path: file that `save` wrote.
            same_data: whether the checkpoint must be of the same recordings and settings.

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
        except Exception as error:  # torch raises several kinds of errors for shapes and types
            raise TrainingError(f"{path}: is not a checkpoint of this training: {error}") from None
        self.seed = seed
        self.course, self.best_esr = state.course, state.lowest
        return remarks


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


def measure_esr(pair: Pair, output: np.ndarray) -> float:
    """Return the ESR of an output over the usable samples of a pair, as a fraction.

    Args:
        pair: the recording.
        output: output of a network for the dry recording, (samples,).
    """
    target = pair.wet[pair.usable].astype(np.float64)
    return float(np.sum((target - output[pair.usable]) ** 2) / max(np.sum(target**2), 1e-12))


def evaluate_all(network: Network, pairs: Sequence[Pair], device: str = "cpu") -> float:
    """Return the mean ESR of a network over recordings, as a fraction.

    A nearly silent recording counts as if it had `FEWEST` of the median recording's energy.

    Args:
        network: the network.
        pairs: the recordings.
        device: torch device.
    """
    targets = [pair.wet[pair.usable].astype(np.float64) for pair in pairs]
    energies = np.array([target @ target for target in targets])
    errors = [np.sum((t - play(network, p, device)[p.usable]) ** 2) for t, p in zip(targets, pairs, strict=True)]
    return float(np.mean(np.array(errors) / np.maximum(energies, max(FEWEST * float(np.median(energies)), 1e-12))))


def evaluate_network(network: Network, pair: Pair, device: str = "cpu") -> float:
    """Return the ESR of a network over a recording, as a fraction.

    Args:
        network: the network.
        pair: the recording. Its knob positions are used.
        device: torch device.
    """
    return measure_esr(pair, play(network, pair, device))


def play(network: Network, pair: Pair, device: str = "cpu") -> np.ndarray:
    """Return a network's output for a dry recording, after a prewarm with silence.

    Args:
        network: the network.
        pair: the recording. Its knob positions are used.
        device: torch device.

    Returns:
        (samples,).
    """
    if isinstance(network, Knobbed):
        network, knobs = fold(network, pair.knobs, levels=False), np.zeros(0, np.float32)
    else:
        knobs = np.asarray(pair.knobs, np.float32)
    stream = open_engine(network, device).stream(1)
    stream.reset(max(network.receptive_field, MEMORY), knobs)
    x = np.concatenate((pair.dry[None], np.repeat(knobs[:, None], len(pair.dry), 1)))
    output: np.ndarray = stream.process(x[None])[0, 0]
    return output
