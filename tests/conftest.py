"""What all tests share: where the reference data is, deterministic hypothesis, small models made on the spot."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "house", deadline=None, derandomize=True, max_examples=40, suppress_health_check=list(HealthCheck)
)
settings.load_profile("house")

_TERMINAL = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Variables that change what the command line prints; tests set them themselves."""


def pytest_configure() -> None:
    """Make the tests independent of the terminal and of how they were started.

    A parent such as `nohup` or a background job ignores signals, and children inherit that. A handler here that does
    nothing gives children the system's default again, and this process still ignores the signal.
    """
    for name in _TERMINAL:
        os.environ.pop(name, None)
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


SHARED = Path(os.environ.get("NEURAL_FX_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep measured numbers in a folder of this run, not in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEURAL_FX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data; tests that need it are skipped where it is absent."""
    if not (SHARED / "models").is_dir():
        pytest.skip(f"no reference data at {SHARED} (set NEURAL_FX_SHARED)")
    return SHARED


def esr(target: np.ndarray, output: np.ndarray) -> float:
    target, output = target.astype(np.float64), output.astype(np.float64)
    return float(np.sum((target - output) ** 2) / np.sum(target**2))


def noise(samples: int, channels: int | None = None, seed: int = 0, level: float = 0.1) -> np.ndarray:
    shape = samples if channels is None else (channels, samples)
    return (np.random.default_rng(seed).standard_normal(shape) * level).astype(np.float32)


def wavenet_document(seed: int = 0, channels: int = 3, rate: int = 48000, **changes: Any) -> dict[str, Any]:
    """A small legacy WaveNet `.nam`, random weights of a size that keeps it lively."""
    rng = np.random.default_rng(seed)
    layer = {
        "input_size": 1, "condition_size": 1, "head_size": 1, "channels": channels, "kernel_size": 3,
        "dilations": [1, 2, 4], "activation": "Tanh", "gated": False, "head_bias": True,
    }  # fmt: skip
    c = channels
    count = c + 3 * (c * c * 3 + c + c + c * c + c) + c + 1 + 1
    document = {
        "version": "0.5.4",
        "architecture": "WaveNet",
        "config": {"layers": [layer], "head": None, "head_scale": 0.5},
        "weights": [float(w) for w in rng.uniform(-0.7, 0.7, count - 1)] + [0.5],
        "sample_rate": rate,
        "metadata": {"loudness": -20.0, "input_level_dbu": 14.0, "output_level_dbu": 10.0, "name": "small"},
    }
    return {**document, **changes}


def lstm_document(seed: int = 0, hidden: int = 4, layers: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    count = sum(4 * hidden * ((1 if i == 0 else hidden) + hidden) + 6 * hidden for i in range(layers)) + hidden + 1
    return {
        "version": "0.5.4",
        "architecture": "LSTM",
        "config": {"input_size": 1, "hidden_size": hidden, "num_layers": layers},
        "weights": [float(w) for w in rng.uniform(-0.7, 0.7, count)],
        "sample_rate": 48000,
    }


def convnet_document(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    weights: list[float] = []
    for into in (1, 3):
        weights += rng.uniform(-0.7, 0.7, 3 * into * 2).tolist() + rng.uniform(-0.2, 0.2, 3).tolist()
        weights += rng.uniform(0.5, 1.5, 3).tolist() + rng.uniform(0.5, 1.5, 6).tolist() + [1e-5]
    return {
        "version": "0.5.4",
        "architecture": "ConvNet",
        "config": {"channels": 3, "dilations": [1, 5], "batchnorm": True, "activation": "Tanh"},
        "weights": weights + rng.uniform(-0.7, 0.7, 4).tolist(),
        "sample_rate": 48000,
    }


def linear_document(seed: int = 0, taps: int = 700) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    response = rng.standard_normal(taps) * np.exp(-np.arange(taps) / 100)
    return {
        "version": "0.5.4",
        "architecture": "Linear",
        "config": {"receptive_field": taps, "bias": True},
        "weights": [*response.tolist(), 0.01],
        "sample_rate": 48000,
    }


def container_document() -> dict[str, Any]:
    small, large = wavenet_document(1, 2), wavenet_document(2, 4)
    return {
        "version": "0.7.0",
        "architecture": "SlimmableContainer",
        "config": {"submodels": [{"max_value": 0.5, "model": small}, {"max_value": 1.0, "model": large}]},
        "weights": [],
        "sample_rate": 48000,
    }


def guitarml_document(
    unit: str = "LSTM", inputs: int = 2, hidden: int = 5, layers: int = 1, skip: int = 1
) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    bound = 0.6 * min(1.0, (5 / hidden) ** 0.5)  # larger would be chaotic: rounding would grow without limit
    rows = hidden * (4 if unit == "LSTM" else 3)
    state: dict[str, Any] = {}
    for i in range(layers):
        width = inputs if i == 0 else hidden
        state[f"rec.weight_ih_l{i}"] = rng.uniform(-bound, bound, (rows, width)).tolist()
        state[f"rec.weight_hh_l{i}"] = rng.uniform(-bound, bound, (rows, hidden)).tolist()
        state[f"rec.bias_ih_l{i}"] = rng.uniform(-0.3, 0.3, rows).tolist()
        state[f"rec.bias_hh_l{i}"] = rng.uniform(-0.3, 0.3, rows).tolist()
    state["lin.weight"] = rng.uniform(-bound, bound, (1, hidden)).tolist()
    state["lin.bias"] = [0.05]
    data = {"model": "SimpleRNN", "input_size": inputs, "skip": skip, "output_size": 1, "unit_type": unit,
            "num_layers": layers, "hidden_size": hidden, "bias_fl": True}  # fmt: skip
    return {"model_data": data, "state_dict": state}


DOCUMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "wavenet": wavenet_document,
    "lstm": lstm_document,
    "convnet": convnet_document,
    "linear": linear_document,
    "container": container_document,
    "guitarml-lstm": lambda: guitarml_document("LSTM", 2),
    "guitarml-gru": lambda: guitarml_document("GRU", 1, layers=2, skip=0),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any, str], Path]:
    """Writes a document as JSON and gives its path."""

    def writer(document: Any, name: str = "model.nam") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return path

    return writer


Run = Callable[..., tuple[int, str, str]]
"""Runs `neural-fx ARGS` in this process and returns (exit status, standard output, standard error)."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A `Run`."""
    from bridge.cli import main

    def runner(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["neural-fx", *map(str, args)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return runner
