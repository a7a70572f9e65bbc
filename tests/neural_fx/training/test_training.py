"""Training: the parts against analytic signals, and the whole on a device small enough to learn in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import neural_fx
from neural_fx.errors import TrainingError
from neural_fx.formats import parse
from neural_fx.formats.nam_writer import nam_bytes
from neural_fx.formats.network import WaveNet
from neural_fx.models import build
from neural_fx.training.architectures import ARCHITECTURES, untrained
from neural_fx.training.loop import Settings, Trainer, evaluate_network
from neural_fx.training.losses import esr, pre_emphasis
from neural_fx.training.pairs import Mask, Pair, estimate_latency, load_pair
from tests.bridge.test_cli import Run, run  # noqa: F401
from tests.conftest import DOCUMENTS, noise, wavenet_document


def guitarish(seconds: float, rate: int = 48000, seed: int = 0) -> np.ndarray:
    """Decaying, low-passed bursts: enough like a guitar to correlate and to learn from."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate)
    smooth = np.convolve(rng.standard_normal(n), np.hanning(24) / 12, "same")
    return (0.25 * smooth * np.exp(-4 * (np.arange(n) / rate % 0.5))).astype(np.float32)


def device(x: np.ndarray) -> np.ndarray:
    """Clipping and a one-pole low-pass, inverted: what a simple pedal does."""
    driven, y, out = np.tanh(4 * x), 0.0, np.empty_like(x)
    for i, value in enumerate(driven):
        y += 0.4 * (value - y)
        out[i] = y
    return -0.5 * out


def pair(seconds: float = 8) -> Pair:
    x = guitarish(seconds)
    return Pair(x, device(x), np.ones(len(x), bool), 48000)


def test_pre_emphasis_is_its_transfer_function() -> None:
    w = 2 * np.pi * 1000 / 48000
    x = torch.sin(w * torch.arange(48000, dtype=torch.float64))
    gain = abs(1 - 0.85 * np.exp(-1j * w))
    assert pre_emphasis(x).square().mean().sqrt() == pytest.approx(gain / np.sqrt(2), rel=1e-3)
    assert float(esr(x, x)) == 0
    assert float(esr(x, -x)) == pytest.approx(4)


@pytest.mark.parametrize("delay", [0, 3, 17, 480, 9000])
@pytest.mark.parametrize("polarity", [1, -1])
def test_latency_is_found(delay: int, polarity: int) -> None:
    x = guitarish(10)
    wet = polarity * np.concatenate((np.zeros(delay, np.float32), device(x)))
    assert estimate_latency(x, wet) == (max(0, delay - 2) if delay >= 6 else 0)
    assert estimate_latency(x, noise(len(x), seed=3)) == 0


def test_windows_stay_in_usable_stretches() -> None:
    usable = (np.arange(1000) % 500) >= 300
    part = Pair(np.zeros(1000, np.float32), np.zeros(1000, np.float32), usable, 48000)
    assert part.starts(200, 100).tolist() == [[300, 301], [800, 801]]
    assert part.starts(150, 310).tolist() == [[310, 351], [800, 851]]
    assert part.starts(201, 100).tolist() == []


def test_mask_is_parsed() -> None:
    assert Mask.parse("0.3/0.5") == Mask(0.5, 0.3)
    for bad in ("0.3", "a/b", "0.5/0.3", "-1/2"):
        with pytest.raises(TrainingError, match="mask"):
            Mask.parse(bad)


def test_bad_pairs_are_told(tmp_path: Path) -> None:
    def written(name: str, x: np.ndarray, rate: int = 48000) -> Path:
        soundfile.write(tmp_path / name, x, rate)
        return tmp_path / name

    x = guitarish(8)
    dry = written("dry.wav", x)
    for wet, words in [
        (written("short.wav", device(x)[:48000]), "lasts"),
        (written("rate.wav", device(x), 44100), "Hz"),
        (written("silent.wav", 0 * x), "silent"),
        (written("early.wav", np.concatenate((device(x)[2000:], np.zeros(2000)))), "swapped"),
    ]:
        with pytest.raises(TrainingError, match=words):
            load_pair(dry, wet)
    with pytest.raises(TrainingError, match="usable"):
        load_pair(dry, dry, mask=Mask(1.0, 0.9))
    good = load_pair(dry, written("wet.wav", np.concatenate((np.zeros(100), device(x)))))
    assert (good.latency, len(good.dry), len(good.wet)) == (98, len(x), len(x))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("a1-standard", 13802),
        ("a1-feather", 3026),
        ("a1-nano", 842),
        ("a1-lite", 6554),
        ("a2-full", 12146),
        ("a2-lite", 1871),
        ("lstm", 1201),
    ],
)
def test_architectures_have_the_known_sizes(name: str, count: int) -> None:
    network = untrained(name)
    capture = parse(nam_bytes(network, 48000, {"name": name}))
    assert capture.parameter_count == count
    assert network.receptive_field == (4093 if name == "a1-standard" else capture.network.receptive_field)
    with pytest.raises(TrainingError, match="known: a1-standard"):
        untrained("a9")


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_written_files_are_the_network(name: str) -> None:
    network = untrained(name, seed=3)
    x = torch.from_numpy(noise(6000))[None, None]
    again = parse(nam_bytes(network, 48000)).network
    with torch.inference_mode():
        np.testing.assert_array_equal(build(network).run(x).numpy(), build(again).run(x).numpy())


@pytest.mark.filterwarnings("ignore")
def test_written_files_load_in_another_implementation(tmp_path: Path) -> None:
    """The PyPI package reads heads in the nested form only, so the same weights are handed to it in that form."""
    nam = pytest.importorskip("nam.models")
    document = json.loads(nam_bytes(untrained("a1-nano"), 48000))
    for layer in document["config"]["layers"]:
        layer["head"] = {"out_channels": layer.pop("head_size"), "kernel_size": 1, "bias": layer.pop("head_bias")}
    model = nam.init_from_nam(document).eval()
    x = np.concatenate((np.zeros(5000, np.float32), noise(3000)))
    with torch.inference_mode():
        theirs = model(torch.from_numpy(x)).numpy()[-3000:]
        ours = build(untrained("a1-nano")).run(torch.from_numpy(x)[None, None])[0, 0, -3000:].numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("name", ["wavenet", "lstm", "convnet", "linear", "guitarml-gru"])
def test_the_gradient_path_equals_the_inference_path(name: str) -> None:
    """Training runs through conv1d, inference through matrix products: the same numbers."""
    model = build(parse(json.dumps(DOCUMENTS[name]()).encode()).network)
    x = torch.from_numpy(noise(4000))[None, None].repeat(3, model.in_channels, 1)
    trained = model.run(x)
    with torch.inference_mode():
        np.testing.assert_allclose(model.run(x).numpy(), trained.detach().numpy(), atol=2e-6)
    trained.square().mean().backward()
    for key, parameter in model.named_parameters():
        if parameter.requires_grad and "layers.2.residual" not in key:  # nothing follows the last residual
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key


def test_describe_returns_what_was_built() -> None:
    network = parse(json.dumps(wavenet_document()).encode()).network
    assert isinstance(network, WaveNet)
    again = build(network).describe()  # type: ignore[operator]
    np.testing.assert_array_equal(again.arrays[0].layers[1].conv.weight, network.arrays[0].layers[1].conv.weight)
    assert again.head_scale == network.head_scale


def test_it_learns(tmp_path: Path) -> None:
    """A few steps cut the error far below that of silence; saved and resumed, it goes on where it was."""
    torch.manual_seed(0)
    settings = Settings(minutes=1000, window=4096, batch=8, validate_every=10)
    trainer = Trainer(untrained("a1-nano"), pair(), settings)
    start = evaluate_network(trainer.best, trainer.validation[0])
    rng = np.random.default_rng(0)
    for _ in range(60):
        trainer._step(rng, 0.0)
    standing = trainer._validate(0.0, 0.0)
    assert start > 0.5
    assert standing.validation_esr < 0.25 * start
    assert evaluate_network(trainer.best, trainer.validation[0]) == pytest.approx(standing.best_esr, rel=1e-3)
    trainer.save(tmp_path / "t.ckpt")
    again = Trainer(untrained("a1-nano"), pair(), settings)
    again.load(tmp_path / "t.ckpt")
    assert (again.step, again.best_esr) == (trainer.step, trainer.best_esr)
    a, b = (t._step(np.random.default_rng(5), 0.0) for t in (trainer, again))
    assert a == pytest.approx(b, rel=1e-4)
    for x, y in zip(trainer.learner.parameters(), again.learner.parameters(), strict=True):
        np.testing.assert_allclose(x.detach(), y.detach(), atol=1e-5)
    with pytest.raises(TrainingError, match="not a checkpoint"):
        Trainer(untrained("a1-feather"), pair(), settings).load(tmp_path / "t.ckpt")
    (tmp_path / "t.ckpt").write_bytes(b"junk")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        again.load(tmp_path / "t.ckpt")


def test_train_command(run: Run, tmp_path: Path) -> None:  # noqa: F811
    x = guitarish(8)
    soundfile.write(tmp_path / "dry.wav", x, 48000)
    soundfile.write(tmp_path / "wet.wav", device(x), 48000)
    out = tmp_path / "mine.nam"
    command = ("train", tmp_path / "dry.wav", tmp_path / "wet.wav", "-o", out, "--arch", "a1-nano", "--minutes", 0.05)
    status, _, err = run(*command)
    assert status == 0, err
    assert "validation ESR" in err
    capture = neural_fx.load(out).capture
    assert capture.metadata.loudness is not None
    assert capture.metadata.everything["training"]["validation_esr"] < 2
    status, _, err = run(*command)
    assert (status, "exists already" in err) == (2, True)
    assert run(*command, "--overwrite", "--device", "tpu9")[0] == 2
    assert run("train", tmp_path / "dry.wav", tmp_path / "no.wav", "-o", tmp_path / "m.nam")[0] == 2


def test_an_interrupted_training_keeps_its_best(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    x = guitarish(8)
    soundfile.write(tmp_path / "dry.wav", x, 48000)
    soundfile.write(tmp_path / "wet.wav", device(x), 48000)
    out = tmp_path / "mine.nam"
    steps = Trainer._step

    def interrupted(self: Trainer, *args: object) -> float:
        if self.step == 3:
            raise KeyboardInterrupt
        return steps(self, *args)  # type: ignore[arg-type]

    command = ("train", tmp_path / "dry.wav", tmp_path / "wet.wav", "-o", out, "--arch", "a1-nano")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        assert run(*command, "--minutes", 10)[0] == 130
    assert out.exists()
    assert (tmp_path / "mine.ckpt").exists()
    status, _, err = run(*command, "--minutes", 0.03, "--resume")
    assert (status, "step 3" in err) == (0, True), err
    assert not (tmp_path / "mine.ckpt").exists()
