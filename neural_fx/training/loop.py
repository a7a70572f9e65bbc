"""The training loop: random windows of a pair, pre-emphasised ESR, best weights by validation ESR."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neural_fx.engines.torch import TorchEngine, run
from neural_fx.errors import TrainingError
from neural_fx.files import replacing
from neural_fx.formats.network import WaveNet
from neural_fx.models import WaveNetModel
from neural_fx.training.losses import esr, pre_emphasis
from neural_fx.training.pairs import Pair


@dataclass(frozen=True)
class Settings:
    """What the loop can be told.

    Attributes:
        minutes: wall time; the learning rate falls to its end over it.
        window: output samples per training window.
        batch: windows per step.
        rate: peak learning rate of Adam.
        seed: of the windows drawn.
    """

    minutes: float = 8.0
    window: int = 8192
    batch: int = 16
    rate: float = 4e-3
    device: str = "cpu"
    seed: int = 0
    validate_every: int = 50


@dataclass(frozen=True)
class Progress:
    """Where the training stands. ESRs are plain, full-band fractions of the validation part."""

    step: int
    fraction: float
    loss: float
    validation_esr: float
    best_esr: float


class Trainer:
    """Trains a WaveNet on a pair. Weights, optimizer and step go into a checkpoint and come back from it.

    Args:
        network: the start (its weights are not changed; read the result from `best`).
        pair: recordings at the rate the network shall run at.

    Raises:
        TrainingError: the pair has no stretch long enough for a window, or the device is missing.
    """

    def __init__(self, network: WaveNet, pair: Pair, settings: Settings = Settings()) -> None:
        self.settings = settings
        try:
            self.device = torch.device(settings.device)
            self.model = WaveNetModel(network).to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise TrainingError(f"device {settings.device!r} cannot be used here: {error}") from None
        self.context = network.receptive_field - 1
        self.training, self.validation = pair.split()
        self.starts = self.training.starts(settings.window, self.context)
        if not len(self.starts):
            raise TrainingError(
                f"no usable stretch of {settings.window} samples to train on; shorten the window or mask"
            )
        self.optimizer = torch.optim.Adam(self.model.parameters(), settings.rate)
        self.signals = [torch.from_numpy(s).to(self.device) for s in (self.training.dry, self.training.wet)]
        self.step, self.elapsed = 0, 0.0
        self.best, self.best_esr = network, math.inf

    def run(self, report: Callable[[Progress], None] = lambda progress: None) -> WaveNet:
        """Train until the time is up; the best network found. Interrupting leaves `best` in place."""
        rng = np.random.default_rng([self.settings.seed, self.step])
        began, before = time.monotonic(), self.elapsed
        loss = math.nan
        while (fraction := self.elapsed / (60 * self.settings.minutes)) < 1:
            loss = self._step(rng, fraction)
            self.elapsed = before + time.monotonic() - began
            if self.step % self.settings.validate_every == 0:
                report(self._validate(min(1.0, fraction), loss))
        report(self._validate(1.0, loss))
        return self.best

    def _step(self, rng: np.random.Generator, fraction: float) -> float:
        warm_up = min(1.0, (self.step + 1) / 30)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * warm_up * (0.01 + 0.99 * cosine)
        output, target = self._window(rng)
        loss = esr(pre_emphasis(target), pre_emphasis(output)) + 0.1 * esr(target, output)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def _window(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(outputs, targets), each (batch, window)."""
        starts = rng.choice(self.starts, self.settings.batch)
        dry, wet = self.signals
        length = self.settings.window
        x = torch.stack([dry[s - self.context : s + length] for s in starts])
        target = torch.stack([wet[s : s + length] for s in starts])
        output = self.model.run(x[:, None])[:, 0, self.context :]
        return output, target

    def _validate(self, fraction: float, loss: float) -> Progress:
        found = self.evaluate(self.model, self.validation)
        if found < self.best_esr:
            self.best, self.best_esr = self.model.describe(), found
        return Progress(self.step, fraction, loss, found, self.best_esr)

    def evaluate(self, model: WaveNetModel, pair: Pair) -> float:
        """Plain ESR over the usable part of a pair, as a fraction."""
        with torch.inference_mode():
            silence = np.zeros((1, 1, self.context), np.float32)
            state = run(model, model.initial_state(1), silence, self.device)[1]
            y = run(model, state, pair.dry[None, None], self.device)[0][0, 0]
        return measure_esr(pair, y)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write a checkpoint (safetensors: numbers only, nothing that could run)."""
        from safetensors.torch import save_file

        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        best = WaveNetModel(self.best).state_dict()
        tensors |= {f"best.{k}": v for k, v in best.items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
        tensors["progress"] = torch.tensor([self.step, self.elapsed, self.best_esr], dtype=torch.float64)
        with replacing(path) as part:
            save_file({k: v.contiguous() for k, v in tensors.items()}, part)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint.

        Raises:
            TrainingError: it is damaged or belongs to another architecture.
        """
        from safetensors.torch import load_file

        try:
            tensors = load_file(path)
            step, self.elapsed, self.best_esr = tensors.pop("progress").tolist()
            self.step = int(step)
            parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "adam": {}}
            for key, value in tensors.items():
                kind, name = key.split(".", 1)
                parts[kind][name] = value
            best = WaveNetModel(self.best)
            best.load_state_dict(parts["best"])
            self.best = best.describe()
            self.model.load_state_dict(parts["model"])
            states: dict[int, dict[str, Tensor]] = {}
            for key, value in parts["adam"].items():
                index, name = key.split(".", 1)
                states.setdefault(int(index), {})[name] = value
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})
        except Exception as error:  # safetensors, key, shape and type errors all mean the same here
            raise TrainingError(f"{path}: is not a checkpoint of this training: {error}") from None


def measure_esr(pair: Pair, output: np.ndarray) -> float:
    """ESR of an output against the usable samples of a pair's wet recording."""
    target = pair.wet[pair.usable].astype(np.float64)
    return float(np.sum((target - output[pair.usable]) ** 2) / max(np.sum(target**2), 1e-12))


def evaluate_network(network: WaveNet, pair: Pair) -> float:
    """ESR of a network over a pair, from a settled start, as a fraction."""
    stream = TorchEngine(network).stream(1)
    stream.reset(network.receptive_field, np.zeros(0, np.float32))
    return measure_esr(pair, stream.process(pair.dry[None, None])[0, 0])
