"""Against the reference C++ engine's own outputs, and against the PyPI package where it can load the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import neural_fx
from neural_fx.errors import ModelError
from neural_fx.formats import read
from neural_fx.formats.network import Slimmable, WaveNet
from neural_fx.neural import NeuralProcessor
from tests.conftest import SHARED, esr

NAMES = sorted(p.stem for p in (SHARED / "models" / "references").glob("*.npy") if p.stem != "input_48k")


def model_path(name: str) -> Path:
    return next(p for p in SHARED.glob(f"models/nam*/{name}.nam"))


def reference(name: str) -> np.ndarray:
    return np.load(SHARED / "models" / "references" / f"{name}.npy")


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.load(SHARED / "models" / "references" / "input_48k.npy").astype(np.float32)


@pytest.mark.parametrize("device", ["auto", "torch"])
@pytest.mark.parametrize("name", [n for n in NAMES if n != "film_layer1x1_post_film"])
def test_equals_the_reference_engine(name: str, device: str, clip: np.ndarray) -> None:
    assert esr(reference(name), neural_fx.load(model_path(name), device=device)(clip, 48000)) <= 1e-9


def test_layer1x1_post_film_follows_the_published_fix(shared: Path, clip: np.ndarray) -> None:
    """The reference file was made before the engine's fix: it skips this FiLM. Ours applies it (and the PyPI
    trainer agrees, see below); without it, we give the old engine's output."""
    capture = read(model_path("film_layer1x1_post_film"))
    assert isinstance(capture.network, WaveNet)
    fixed = NeuralProcessor(capture)(clip, 48000)
    assert 0.05 < esr(reference("film_layer1x1_post_film"), fixed) < 0.12
    for array in capture.network.arrays:
        for layer in array.layers:
            del layer.films["layer1x1_post_film"]
    assert esr(reference("film_layer1x1_post_film"), NeuralProcessor(capture)(clip, 48000)) <= 1e-9


# What the two implementations read differently (formats/nam.md, section 5), or the package cannot load.
PEER_DIFFERS = {"no_layer1x1", "linear", "Linear_", "linear_10"}
PEER_FAILS = {
    "A2", "PackedWaveNet_", "slimmable_container",  # SlimmableContainer
    "ConvNet_", "convnet", "convnet_bn",
    "slimmable_wavenet", "wavenet", "wavenet_a1_standard", "wavenet_condition_dsp",  # legacy head, condition dropped
    "acts3",  # PReLU slopes are drawn anew
}  # fmt: skip


@pytest.mark.parametrize("device", ["auto", "torch"])
@pytest.mark.parametrize("name", [n for n in NAMES if n not in PEER_DIFFERS | PEER_FAILS])
@pytest.mark.filterwarnings("ignore")
def test_equals_the_pypi_package(name: str, device: str, clip: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    nam = pytest.importorskip("nam.models", reason="PyPI neural-amp-modeler is not installed")
    model = nam.init_from_nam(json.loads(model_path(name).read_text())).eval()
    capture = read(model_path(name))
    # The package starts from zeros where the engine prewarms: give both the same silence first.
    silence = np.zeros(max(capture.prewarm, 24000), np.float32)
    with torch.inference_mode():
        theirs = model(torch.from_numpy(np.concatenate((silence, clip)))).numpy()[-len(clip) :]
    assert esr(theirs, NeuralProcessor(capture, device=device)(clip, 48000)) <= 1e-10


def test_every_model_in_shared_loads(shared: Path) -> None:
    folders = ("nam", "nam_variants", "captures", "rtneural", "wavenetva")
    files = [p for name in folders for p in (shared / "models" / name).iterdir() if p.suffix in (".nam", ".json")]
    assert len(files) >= 50
    for path in files:
        assert read(path).parameter_count > 0


def test_every_other_file_in_shared_loads_or_says_why_not(shared: Path) -> None:
    for path in sorted(p for p in (shared / "models").rglob("*") if p.is_file()):
        try:
            assert read(path).parameter_count > 0
        except ModelError as error:
            assert len(str(error)) > len(str(path)) + 10


def test_slimmable_wavenet_sizes_are_slices(shared: Path, clip: np.ndarray) -> None:
    capture = read(model_path("slimmable_wavenet"))
    assert isinstance(capture.network, Slimmable)
    widths = [n.arrays[0].rechannel.out_channels for n in capture.network.sizes if isinstance(n, WaveNet)]
    assert widths == [1, 2, 3]
    assert [capture.network.pick(v) for v in (0.0, 0.33, 0.34, 0.66, 0.67, 1.0)] == [0, 0, 1, 1, 2, 2]
