"""Train for a given time, validate, and write checkpoints: what the trainers of captures and timbres share."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from neural_fx.errors import TrainingError
from neural_fx.training.checkpoints import (
    KEEPS_ITS_OWN,
    TAKES_THE_NEW,
    About,
    Checkpoint,
    Weights,
    check_about,
    read_checkpoint,
    set_rate,
    write_checkpoint,
)
from neural_fx.training.course import VALIDATION_SECONDS, Course, Due

Best = TypeVar("Best")
"""What a training results in, such as a network."""
Report = TypeVar("Report")
"""The progress of a training."""


class CommonSettings(Protocol):
    """The settings that all trainings have."""

    @property
    def minutes(self) -> float:
        """Wall time of the training. The learning rate falls over this time."""

    @property
    def rate(self) -> float:
        """Peak learning rate of Adam."""

    @property
    def seed(self) -> int:
        """Random seed."""

    @property
    def validate_every(self) -> int:
        """Steps between validations. One is also due after a minute."""


class BaseTrainer(ABC, Generic[Best, Report]):
    """Train a model. A training can be saved to a checkpoint and continued from it.

    Args:
        settings: settings of the training.
        model: its parameters are trained.
        best: the result before the first validation.

    Attributes:
        best: best result so far.
        best_error: its validation error.
        course: steps, time and validation errors so far.
        seed: random seed of the steps. A checkpoint brings its own.
    """

    WARM_UP_STEPS: ClassVar[int]
    """Steps during which the learning rate rises."""
    MOST_GRADIENT: ClassVar[float]
    """Norm to which larger gradients are reduced."""
    NEW_SETTING: ClassVar[str]
    """The entry of the description, besides the seed, that may differ from the checkpoint's."""

    def __init__(self, settings: CommonSettings, model: nn.Module, best: Best) -> None:
        self.best = best
        self.best_error = math.inf
        self.course = Course()
        self.seed = settings.seed
        self.optimizer = torch.optim.Adam(model.parameters(), settings.rate)
        self._common = settings
        self._model = model

    # -- what a trainer implements -----------------------------------------------------------------------------------

    @abstractmethod
    def _loss(self, rng: np.random.Generator) -> Tensor:
        """Return the loss of the next step, with gradients.

        Args:
            rng: draws the data of the step.
        """

    @abstractmethod
    def _current(self) -> Best:
        """Return the current state as a result."""

    @abstractmethod
    def _error(self, current: Best) -> float:
        """Return the validation error of the current state.

        Args:
            current: the current state as a result.
        """

    @abstractmethod
    def _best_weights(self) -> Weights:
        """Return the weights of the best result."""

    @abstractmethod
    def _progress(self, fraction: float, loss: float, error: float) -> Report:
        """Return the progress.

        Args:
            fraction: share of the training that is done, 0 to 1.
            loss: loss of the last step; NaN before the first.
            error: that of the last validation; NaN before the first.
        """

    @abstractmethod
    def _describe(self) -> dict[str, object]:
        """Return a description of this training, to compare with that of a checkpoint."""

    # -- training ----------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Steps done so far."""
        return self.course.steps

    @property
    def elapsed(self) -> float:
        """Seconds spent so far."""
        return self.course.seconds

    @property
    def fraction(self) -> float:
        """Share of the training that is done, 0 to 1."""
        return min(1.0, self.elapsed / (60 * self._common.minutes))

    def run(
        self,
        report: Callable[[Report], None] = lambda progress: None,
        tick: Callable[[Report], None] = lambda progress: None,
    ) -> Best:
        """Train until the time is up, and return the best result. An exception leaves it in `best`.

        Every step draws its data with a random generator of its own. So an interrupted training continues with the
        same data as an uninterrupted one.

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
            if self.step % self._common.validate_every == 0 or validation():
                before = time.monotonic()
                report(self._validate(self.fraction, loss))
                validation.done(time.monotonic() - before)
            tick(self.progress(loss))
        report(self._validate(1.0, loss))
        tick(self.progress(loss))
        return self.best

    def validate(self) -> Report:
        """Validate the current weights, and keep them in `best` if they are the best so far."""
        return self._validate(self.fraction, math.nan)

    def progress(self, loss: float = math.nan) -> Report:
        """Return the progress as of the last validation.

        Args:
            loss: loss of the last step.
        """
        last = self.course.points[-1][2] if self.course.points else math.nan
        return self._progress(self.fraction, loss, last)

    def _step(self, rng: np.random.Generator, fraction: float) -> float:
        """Improve the weights once, and return the loss before."""
        set_rate(self.optimizer, self._common.rate, self.step, self.WARM_UP_STEPS, fraction)
        loss = self._loss(rng)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self.MOST_GRADIENT)
        self.optimizer.step()
        self.course.steps += 1
        return loss.item()

    def _validate(self, fraction: float, loss: float) -> Report:
        current = self._current()
        error = self._error(current)
        self.course.points.append((self.step, self.elapsed, error))
        if error < self.best_error:
            self.best = current
            self.best_error = error
        return self._progress(fraction, loss, error)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    @cached_property
    def about(self) -> About:
        """Description of this training, to compare with that of a checkpoint."""
        return self._describe()

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        state = Checkpoint(
            model=self._model.state_dict(),
            best=self._best_weights(),
            adam=self.optimizer.state_dict()["state"],
            course=self.course,
            lowest=self.best_error,
            about={**self.about, "seed": self.seed},
        )
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
        remarks: list[str] = []
        if same_data:
            may_differ: Mapping[str, str] = {"seed": KEEPS_ITS_OWN, self.NEW_SETTING: TAKES_THE_NEW}
            remarks = check_about(path, state.about, self.about, may_differ)
        try:
            self._model.load_state_dict(state.best)
            self.best = self._current()
            self._model.load_state_dict(state.model)
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state.adam})
        except Exception as error:  # torch raises several kinds of errors for shapes and types
            raise TrainingError(f"{path}: is not a checkpoint of this training: {error}") from None
        self.seed = seed
        self.course = state.course
        self.best_error = state.lowest
        return remarks
