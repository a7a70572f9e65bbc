"""`docs/extending/networks.md` as its reader follows it: Python, engines, board file, command line, training."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from neural_fx.engines import cpu, open_engine
from neural_fx.errors import ModelError
from neural_fx.formats import Capture
from neural_fx.formats.digest import digest
from neural_fx.native_loop import native_plan
from neural_fx.networks import NETWORKS, Binding, NetworkKind, build, kind_of
from neural_fx.neural import NeuralProcessor
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Spec
from tests.extending.pages import Page, command, install, python, read_page

BOARD = """
import json
import numpy as np
import neural_fx
from neural_fx.engines import open_engine

with open("fuzz.json", "w") as file:
    json.dump({"memory_polynomial": [[0.0, 1.0], [0.0, 0.5]], "rate": 48000}, file)
x = np.sin(np.arange(200_000) / 20).astype(np.float32)
wanted = x[:-1] + 0.5 * x[:-1] ** 2
for device in ("cpu", "torch", "batched"):
    played = neural_fx.load("fuzz.json", device=device)(x, 48000)
    assert np.allclose(played[1:], wanted, atol=1e-6), device

network = neural_fx.load("fuzz.json").capture.network
many = open_engine(network, "batched").stream(3)
many.reset(10, np.zeros(0, np.float32))
found = np.concatenate([many.process(np.stack([x[None, a:b], -x[None, a:b], 0 * x[None, a:b]]))
                        for a, b in ((0, 1), (1, 65), (65, 300))], 2)
assert np.allclose(found[0, 0, 1:], wanted[:299], atol=1e-6)
assert np.allclose(found[1, 0, 1:], 0.5 * x[:299] ** 2 - x[:299], atol=1e-6)
assert not found[2].any()

board = neural_fx.Pedalboard.from_file("fuzz.yaml")
board.save("again.yaml")
again = neural_fx.Pedalboard.from_file("again.yaml")
assert np.array_equal(again(x, 48000), board(x, 48000))
print(again[0].name)
"""

TRAINING = """
import torch
from neural_fx.training.architectures import untrained
from neural_fx.training.learners import Learner

torch.manual_seed(0)
learner = Learner(untrained("memory-polynomial"), "cpu", 256, 4, 1)
assert learner.context == 7
optimizer = torch.optim.Adam(learner.parameters(), 0.02)
for _ in range(300):
    x = 2 * torch.rand(4, 256 + learner.context) - 1
    error = (learner(x, torch.zeros(4, 0)) - 0.8 * x[:, 7:] + 0.5 * x[:, 6:-1] ** 2).square().mean()
    optimizer.zero_grad()
    error.backward()
    optimizer.step()
weights = learner.describe().weights
print(weights[0, 0].round(2), weights[1, 1].round(2))
"""

WITHOUT_TORCH = """
import sys
import numpy as np
sys.modules["torch"] = None
import neural_fx
from neural_fx.networks import NETWORKS
assert "memory polynomial" in NETWORKS  # no kind imports torch before a module is built
assert all(make(0) for kind in NETWORKS for make in kind.untrained.values())
fuzz = neural_fx.load("fuzz.json")
try:
    fuzz(np.zeros(100, np.float32), 48000)
except neural_fx.NeuralFXError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def page() -> Page:
    return read_page("networks.md")


@pytest.fixture
def packages(page: Page, tmp_path: Path) -> Path:
    install(page, tmp_path / "packages")
    (tmp_path / "fuzz.yaml").write_text(page.files["fuzz.yaml"])
    (tmp_path / "fuzz.json").write_text('{"memory_polynomial": [[0.0, 1.0], [0.0, 0.5]], "rate": 48000}')
    return tmp_path / "packages"


def test_the_example_works_as_the_page_says(page: Page, packages: Path, tmp_path: Path) -> None:
    (example,) = page.examples
    done = python(example, packages, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_all_engines_and_board_files_play_the_example(packages: Path, tmp_path: Path) -> None:
    done = python(BOARD, packages, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fuzz\n", "")


def test_the_commands_of_the_page(page: Page, packages: Path, tmp_path: Path) -> None:
    """`info`, `bench`, `render` and `train`. What was trained plays as its file says."""
    rng = np.random.default_rng(0)
    smooth = np.convolve(rng.standard_normal(48000 * 6), np.hanning(24) / 12, "same")
    x = (0.25 * smooth * np.exp(-4 * (np.arange(len(smooth)) / 48000 % 0.5))).astype(np.float32)
    x[-24000:] = 0
    soundfile.write(tmp_path / "riff.wav", x[:24000], 48000, "FLOAT")
    soundfile.write(tmp_path / "dry.wav", x, 48000, "FLOAT")
    soundfile.write(tmp_path / "wet.wav", 0.8 * x - 0.5 * x**2, 48000, "FLOAT")
    said = []
    for line in page.commands:
        program, *arguments = line.split()
        assert program == "neural-fx"
        done = command(arguments, packages, tmp_path)
        assert done.returncode == 0, (line, done.stderr)
        said.append(done.stdout + done.stderr)
    assert "2 powers, 2 taps" in said[0]
    assert "| fuzz | torch | 64 |" in said[1]
    assert len(soundfile.read(tmp_path / "out.wav")[0]) == 24000
    weights = json.loads((tmp_path / "mine.json").read_text())["memory_polynomial"]
    riff = x[:24000].astype(np.float64)
    wanted = sum(np.convolve(riff ** (i + 1), row)[:24000] for i, row in enumerate(weights))
    assert np.allclose(soundfile.read(tmp_path / "mine.wav")[0], wanted, atol=1e-6)


def test_training_finds_the_weights_of_a_device(packages: Path, tmp_path: Path) -> None:
    done = python(TRAINING, packages, tmp_path)
    assert (done.returncode, done.stdout) == (0, "0.8 -0.5\n"), done.stderr


def test_what_the_example_cannot_do_is_an_error_of_one_line(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"memory_polynomial": [[0.0, 1.0], [0.5]], "rate": 48000}')
    soundfile.write(tmp_path / "dry.wav", np.zeros(48000), 48000)
    for arguments, words in [
        (["info", "bad.json"], "memory_polynomial[1]: expected"),
        (["export", "fuzz.json", "-o", "fuzz.nam"], "only a WaveNet or LSTM can be exported"),
        (
            ["train", "dry.wav", "dry.wav", "--arch", "memory-polynomial", "-o", "mine.nam"],
            "mine.nam: expected a file name that ends in .json",
        ),
    ]:
        done = command(arguments, packages, tmp_path)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    told = python(WITHOUT_TORCH, packages, tmp_path)
    assert "this model has parts that the compiled engine cannot run, so it needs torch" in told.stdout, told.stderr


# -- the registry, and kernels of another package ------------------------------------------------------------------


@dataclass(frozen=True)
class Halves:
    """`x * gain`, for the tests."""

    gain: np.ndarray = field(default_factory=lambda: np.full(1, 0.5, np.float32))
    in_channels: int = 1
    out_channels: int = 1
    receptive_field: int = 1


@dataclass
class HalvesInNumpy:
    """Kernels of another package, and their streams."""

    gain: float
    allocations: int = 7
    resets: int = 0

    def batch(self, count: int, instruction_set: str = "") -> HalvesInNumpy:
        return self

    def reset(self) -> None:
        self.resets += 1

    def process(self, x: np.ndarray, y: np.ndarray) -> None:
        np.multiply(x, self.gain, out=y)


def no_model(network: Any) -> Any:
    raise AssertionError("torch is not asked for")


HALVES = NetworkKind(
    "halves",
    Halves,
    no_model,
    binding=Binding(lambda network: network.gain[0] < 1, lambda network, fast: HalvesInNumpy(float(network.gain[0]))),
)


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> Halves:
    NETWORKS.names()
    monkeypatch.setattr(NETWORKS, "_members", {**NETWORKS._members, "halves": HALVES})
    return Halves()


@pytest.mark.skipif(not cpu.available(), reason="the compiled engine was not built")
def test_kernels_of_another_package_play(halves: Halves) -> None:
    assert cpu.supports(halves)
    assert not cpu.supports(Halves(np.ones(1, np.float32)))
    assert isinstance(open_engine(halves), cpu.CpuEngine)
    x = np.linspace(-1, 1, 1000, dtype=np.float32)
    processor = NeuralProcessor(Capture("test", "halves", halves, 48000))
    assert np.array_equal(processor(x, 48000), x / 2)
    stream = cpu.CpuEngine(halves).stream(1)
    assert (stream.is_native, stream.allocations) == (False, 7)
    assert cpu.CpuEngine(NETWORKS["wavenet"].untrained["a1-nano"](0)).stream(1).is_native


@pytest.mark.skipif(not cpu.available(), reason="the compiled engine was not built")
def test_the_native_loop_leaves_such_kernels_to_python(halves: Halves) -> None:
    board = Pedalboard([NeuralProcessor(Capture("test", "halves", halves, 48000))])
    spec = Spec(48000, 1, 64)
    board.open_stream(spec)
    assert native_plan(board, spec) == "slot 1 does not run in the compiled engine"


def test_a_network_of_no_kind_is_an_error() -> None:
    with pytest.raises(ModelError, match="a Halves is no network of a registered kind; known: wavenet, sequential"):
        kind_of(Halves())
    with pytest.raises(TypeError, match="int is not a dataclass"):
        NetworkKind("numbers", int, no_model)


def test_classes_of_one_name_in_two_packages_differ() -> None:
    def made(module: str) -> Any:
        return dataclass(frozen=True)(type("Same", (), {"__annotations__": {"x": int}, "__module__": module, "x": 1}))()

    assert digest(made("one")) == digest(made("one")) != digest(made("two"))


def test_every_kind_says_what_it_can() -> None:
    assert NETWORKS.names() == ["wavenet", "sequential", "knobbed", "slimmable"]
    for kind in NETWORKS:
        for make in kind.untrained.values():
            network = make(0)
            assert kind_of(network) is kind
            assert kind.multiply_adds(network) > 0
            assert cpu.supports(network) or not cpu.available()
            assert build(network).out_channels == 1
