"""Training: the parts against analytic signals, and the whole on a device small enough to learn in seconds."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import neural_fx
from neural_fx.audio import resample
from neural_fx.errors import TrainingError
from neural_fx.formats import parse
from neural_fx.formats.nam_writer import nam_bytes
from neural_fx.networks import WaveNet, build
from neural_fx.training.alignment import align
from neural_fx.training.architectures import architectures, untrained
from neural_fx.training.checks import level_remarks, remarks
from neural_fx.training.evaluate import evaluate_network
from neural_fx.training.loop import Settings, Trainer
from neural_fx.training.losses import Loss, esr, pre_emphasis
from neural_fx.training.pairs import Mask, Pair, load_pair
from tests.conftest import DOCUMENTS, Run, noise, wavenet_document


def guitarish(seconds: float, rate: int = 48000, seed: int = 0) -> np.ndarray:
    """Decaying, low-passed bursts: enough like a guitar to correlate and to learn from."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate)
    smooth = np.convolve(rng.standard_normal(n), np.hanning(24) / 12, "same")
    return (0.25 * smooth * np.exp(-4 * (np.arange(n) / rate % 0.5))).astype(np.float32)


def rested(x: np.ndarray) -> np.ndarray:
    """The same with a rest of half a second at the end."""
    return np.concatenate((x[:-24000], np.zeros(24000, np.float32)))


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
    ]:
        with pytest.raises(TrainingError, match=words):
            load_pair(dry, wet)
    with pytest.raises(TrainingError, match="usable"):
        load_pair(dry, dry, mask=Mask(1.0, 0.9))
    good = load_pair(dry, written("wet.wav", np.concatenate((np.zeros(100), device(x)))))
    assert abs(good.latency - 100) <= 1
    assert len(good.dry) == len(good.wet) == len(x)


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


@pytest.mark.parametrize("name", list(architectures()))
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
    with pytest.raises(TrainingError, match="another training: it differs in architecture"):
        Trainer(untrained("a1-feather"), pair(), settings).load(tmp_path / "t.ckpt")
    (tmp_path / "t.ckpt").write_bytes(b"junk")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        again.load(tmp_path / "t.ckpt")


def test_train_command(run: Run, tmp_path: Path) -> None:
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


def test_recordings_are_remarked_on() -> None:
    """Each fault alone, in a pair that is otherwise good; a good pair gets no remark."""
    x, rate = rested(guitarish(20)), 48000
    y = device(x)
    assert remarks(x, y, rate) == []
    low = np.fft.irfft(np.where(np.fft.rfftfreq(len(x), 1 / rate) < 4000, np.fft.rfft(x), 0)).astype(np.float32)
    twice = np.concatenate((x, x))
    hum = np.concatenate((y, y + 2 * y.std() * noise(len(y))))
    for dry, wet, words in [
        (np.clip(10 * x, -0.8, 0.8), y, "dry recording clips"),
        (x, np.clip(10 * y, -0.7, 0.7), "wet recording clips"),
        (low, y, "nothing above 4"),
        (x, y + y.std() * noise(len(y)), "noise is 20 dB below"),
        (y, x * (1 + 20 * (np.abs(x) > 0.5 * np.abs(x).max())), "swapped"),
        (twice, hum, "changes with time"),
    ]:
        dry, wet = dry.astype(np.float32), wet.astype(np.float32)
        found = level_remarks("dry", dry) + level_remarks("wet", wet) + remarks(dry, wet, rate)
        assert any(words in sentence for sentence in found), (words, found)


@pytest.mark.parametrize("ppm", [-80.0, 25.0, 120.0])
def test_a_drifting_clock_is_found_and_mended(tmp_path: Path, ppm: float) -> None:
    x = guitarish(65, seed=3)
    wet = resample(np.concatenate((np.zeros(50, np.float32), device(x)))[None], 48000, 48000 * (1 + 1e-6 * ppm))[0]
    soundfile.write(tmp_path / "dry.wav", x, 48000, subtype="FLOAT")
    soundfile.write(tmp_path / "wet.wav", wet, 48000, subtype="FLOAT")
    said: list[str] = []
    found = load_pair(tmp_path / "dry.wav", tmp_path / "wet.wav", say=said.append)
    told = next(float(s.split("(")[1].split(" parts")[0]) for s in said if "clocks" in s)
    assert told == pytest.approx(ppm, abs=1.5)
    assert any("polarity" in s for s in said)
    assert abs(found.latency - 50) <= 1
    target = np.concatenate((np.zeros(51 - found.latency, np.float32), device(x)))
    late = slice(55 * 48000, 60 * 48000)
    assert np.sum((found.wet[late] - target[late]) ** 2) < 0.03 * np.sum(target[late] ** 2)


def test_straight_clocks_are_left_alone(tmp_path: Path) -> None:
    x = guitarish(45)
    found = align(x, device(x), 48000)
    assert (found.drift_ppm, found.inverted) == (0.0, True)
    assert found.correlation > 0.3


def test_other_performances_and_rates_are_refused(tmp_path: Path) -> None:
    x = guitarish(12)
    soundfile.write(tmp_path / "dry.wav", x, 48000)
    soundfile.write(tmp_path / "other.wav", guitarish(12, seed=9), 48000)
    with pytest.raises(TrainingError, match="nothing in common"):
        load_pair(tmp_path / "dry.wav", tmp_path / "other.wav")
    soundfile.write(tmp_path / "low.wav", x[::6], 8000)
    with pytest.raises(TrainingError, match="8000 Hz; record at"):
        load_pair(tmp_path / "low.wav", tmp_path / "low.wav")


def test_knobs_are_learned_from_several_recordings(run: Run, tmp_path: Path) -> None:
    """Two positions of a gain: one capture, whose knob turns from one to the other."""
    x = guitarish(8)
    soundfile.write(tmp_path / "dry.wav", x, 48000, subtype="FLOAT")
    for gain in (1, 6):
        soundfile.write(tmp_path / f"wet{gain}.wav", np.tanh(gain * x), 48000, subtype="FLOAT")
    files = [tmp_path / "dry.wav", tmp_path / "wet1.wav", tmp_path / "dry.wav", tmp_path / "wet6.wav"]
    out = tmp_path / "gain.safetensors"
    command = ["train", *files, "-o", out, "--arch", "a1-nano", "--latency", 0, "--minutes", 10, "--epochs", 36]
    status, _, err = run(*command, "--knob", "gain=0", "--knob", "gain=1")
    assert status == 0, err
    assert (tmp_path / "gain.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "gain.png").stat().st_size > 10000
    made = neural_fx.load(out)
    made.gain = 0.0
    soft = made(x, 48000)
    made.gain = 1.0
    assert np.std(made(x, 48000)) > 1.5 * np.std(soft)
    for wrong, words in [
        (["--knob", "gain=0"], "one for each pair"),
        (["--knob", "gain=0", "--knob", "tone=1"], "same knobs"),
        (["--knob", "gain=0", "--knob", "gain=2"], "NAME=VALUE"),
        ([], "expected a file name that ends in .nam"),
        (["--knob", "gain=0", "--knob", "gain=1", "--arch", "lstm"], "WaveNet"),
    ]:
        status, _, err = run(*command, *wrong, "--overwrite")
        assert (status, words in err) == (2, True), err
    assert "expected pairs" in run("train", files[0], "-o", tmp_path / "x.nam")[2]


@pytest.mark.parametrize("arch", ["lstm", "a2-lite"])
def test_other_architectures_train(arch: str, tmp_path: Path) -> None:
    trainer = Trainer(untrained(arch), pair(), Settings(minutes=1000, window=512, batch=2))
    rng = np.random.default_rng(0)
    losses = [trainer._step(rng, 0.0) for _ in range(12)]
    assert np.mean(losses[-3:]) < losses[0]
    data = nam_bytes(trainer.learner.describe(), 48000)
    again = evaluate_network(parse(data).network, trainer.validation[0])
    assert again == pytest.approx(evaluate_network(trainer.learner.describe(), trainer.validation[0]), rel=1e-5)


def test_epochs_end_a_training() -> None:
    settings = Settings(minutes=1000, epochs=0.2, window=2048, batch=4, validate_every=1000)
    trainer = Trainer(untrained("a1-nano"), pair(), settings)
    trainer.run()
    assert trainer.step == trainer.steps == 9


def test_spectral_loss_is_finite_and_optional() -> None:
    target = torch.from_numpy(noise(2 * 8192).reshape(2, -1))
    energy = target.square().mean(1)
    assert float(Loss(stft=1.0)(target, target, energy)) == pytest.approx(0, abs=1e-5)
    worse = Loss(stft=1.0)(target, 0.5 * target, energy)
    assert float(worse) > float(Loss()(target, 0.5 * target, energy)) > 0


def test_an_interrupted_training_keeps_its_best(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = guitarish(8)
    soundfile.write(tmp_path / "dry.wav", x, 48000)
    soundfile.write(tmp_path / "wet.wav", device(x), 48000)
    out = tmp_path / "mine.nam"
    steps = Trainer._step

    def interrupted(self: Trainer, *args: object) -> float:
        if self.step == 2:  # during the third
            os.kill(os.getpid(), signal.SIGINT)
        return steps(self, *args)  # type: ignore[arg-type]

    command = ("train", tmp_path / "dry.wav", tmp_path / "wet.wav", "-o", out, "--arch", "a1-nano")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        assert run(*command, "--minutes", 10)[0] == 130
    assert out.exists()
    assert (tmp_path / "mine.ckpt").exists()
    status, _, err = run(*command, "--minutes", 0.03, "--resume")
    assert (status, "3 steps in" in err) == (0, True), err
    assert not (tmp_path / "mine.ckpt").exists()
