"""Knobs that fold into weights: exactness, streams with turning knobs, the pedal file, snapshots."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import neural_fx
from neural_fx.engines import Engine, cpu
from neural_fx.engines.torch import TorchEngine
from neural_fx.errors import ModelError, ParameterError
from neural_fx.formats import parse, read
from neural_fx.formats.pedal import pedal_bytes
from neural_fx.networks import Dense, Knobbed, Level, WaveNet
from neural_fx.networks.knobbed.folding import fold
from neural_fx.snapshot import snapshot
from neural_fx.training.architectures import a1, a2, knobbed, pedal
from tests.conftest import Run, noise
from tests.counting import NO_ALLOCATIONS, needs_counts

KNOBS = {"drive": 0.5, "tone": 0.3, "level": 0.8}


def network(base: WaveNet | None = None, seed: int = 0) -> Knobbed:
    """Untrained, with a modulation large enough to be heard, and a level knob."""
    rng = np.random.default_rng(seed)
    made = knobbed(base or pedal(6), 2, seed=seed)
    last = made.dense[-1]
    loud = Dense(3 * last.weight, rng.normal(0, 0.2, last.bias.shape).astype(np.float32))
    gains = np.linspace(0, 1, 21, dtype=np.float32) ** 2
    return replace(made, dense=(*made.dense[:-1], loud), levels=(Level(2, gains),))


def engines(net: Knobbed) -> list[Engine]:
    found: list[Engine] = [TorchEngine(net)]
    return found + [cpu.CpuEngine(net)] if cpu.available() else found


def play(engine: Engine, x: np.ndarray, cuts: list[int]) -> np.ndarray:
    stream = engine.stream(x.shape[0])
    stream.reset(100, x[0, 1:, 0])
    edges = [0, *cuts, x.shape[2]]
    parts = [stream.process(x[:, :, a:b]) for a, b in itertools.pairwise(edges)]
    return np.concatenate(parts, 2)


def turning(samples: int = 3000) -> np.ndarray:
    """(2, 4, samples): two streams of noise, one knob gliding, one stepping, a level falling."""
    x = np.empty((2, 4, samples), np.float32)
    x[:, 0] = 0.3 * noise(2 * samples).reshape(2, -1)
    x[:, 1] = np.linspace(0, 1, samples)
    x[:, 2] = np.where(np.arange(samples) < 1234, 0.1, 0.9)
    x[:, 3] = np.linspace(1, 0, samples)
    return x


def esr(target: np.ndarray, found: np.ndarray) -> float:
    return float(np.sum((target - found) ** 2.0) / np.sum(target**2.0))


BASES = pytest.mark.parametrize(
    "base", [pedal(6), pedal(16), a1((4, 2), ([1, 2, 4], [8, 1, 2])), a2(3), a2(8)],
    ids=["narrow pedal", "pedal", "a1", "a2 lite", "a2"],
)  # fmt: skip
# Where the matrix units multiply, 17 bits of each number do.
CLOSE = 1e-9 if cpu.available() and cpu.instruction_set() == "amx" else 1e-11


@BASES
def test_held_knobs_are_a_plain_network(base: WaveNet) -> None:
    net = network(base)
    position = [0.2, 0.9, 0.6]
    x = 0.3 * noise(4000)[None, None]
    plain = TorchEngine(fold(net, position)).stream(1)
    plain.reset(net.receptive_field, np.zeros(0, np.float32))
    wanted = plain.process(x)
    controls = np.array(position, np.float32)
    for engine in engines(net):
        stream = engine.stream(1)
        stream.reset(net.receptive_field, controls)
        with_knobs = np.concatenate((x, np.repeat(controls[None, :, None], 4000, 2)), 1)
        assert esr(wanted, stream.process(with_knobs)) < CLOSE


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 3000), max_size=8).map(sorted), width=st.sampled_from([6, 16]))
def test_turning_knobs_do_not_depend_on_blocks(cuts: list[int], width: int) -> None:
    net, x = network(pedal(width)), turning()
    for engine in engines(net):
        whole = play(engine, x, [])
        assert np.abs(play(engine, x, cuts) - whole).max() <= 1e-6 * np.abs(whole).max()


@BASES
def test_engines_agree_while_knobs_turn(base: WaveNet) -> None:
    outputs = [play(engine, turning(), []) for engine in engines(network(base))]
    for other in outputs[1:]:
        assert esr(outputs[0], other) < CLOSE


@pytest.mark.counting
@needs_counts
@pytest.mark.skipif(not cpu.available(), reason="the compiled engine is not built")
def test_turning_knobs_allocates_nothing() -> None:
    for width in (6, 16):
        stream = cpu.CpuEngine(network(pedal(width))).stream(2)
        stream.reset(0, np.zeros(3, np.float32))
        stream.process(turning())
        assert stream.allocations == NO_ALLOCATIONS


def saved(folder: Path, net: Knobbed | None = None) -> Path:
    path = folder / "mine.safetensors"
    path.write_bytes(pedal_bytes(net or network(), KNOBS, 48000, {"name": "Mine"}))
    return path


def test_pedal_file_keeps_every_number(tmp_path: Path) -> None:
    net = network()
    capture = read(saved(tmp_path, net))
    assert (capture.format, capture.metadata.name, dict(capture.knobs)) == ("pedal", "Mine", KNOBS)
    found = capture.network
    assert isinstance(found, Knobbed)
    again = pedal_bytes(found, capture.knobs, capture.sample_rate, {"name": "Mine"})
    assert hash(again) == hash((tmp_path / "mine.safetensors").read_bytes())
    processor = neural_fx.load(tmp_path / "mine.safetensors", drive=0.2)
    assert (processor.drive, processor.tone, processor.level, processor.output_level) == (0.2, 0.3, 0.8, "raw")
    processor.level = 0.1
    assert processor.level == 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda about, t: about.update(version=2), "version"),
        (lambda about, t: about["knobs"].pop(), "levels.2: is not used by the description"),
        (lambda about, t: about["knobs"][0].update(name="input_gain_db"), "knob's name"),
        (lambda about, t: about["knobs"][0].update(default=2), "number from 0 to 1"),
        (lambda about, t: about["stacks"][0]["dilations"].append(4), "missing"),
        (lambda about, t: about["stacks"][0]["dilations"].pop(), "dense"),
        (lambda about, t: about["stacks"][0].update(activation="relu"), "tanh, leaky_relu"),
        (lambda about, t: t.update(extra=np.ones(1, np.float32)), "extra: is not used by the description"),
        (lambda about, t: t.pop("dense.1.bias"), "dense.1.bias: missing"),
        (lambda about, t: t.update({"levels.2": np.ones(1, np.float32)}), "2 to 1001 gains"),
        (lambda about, t: t["dense.0.bias"].fill(np.nan), "finite"),
        (lambda about, t: t.update({"stacks.0.head.weight": np.ones((2, 6, 1), np.float32)}), "head"),
        (lambda about, t: t.update({"stacks.0.rechannel.weight": np.ones((5, 1, 1), np.float32)}), "channels"),
    ],
)
def test_wrong_pedal_files_are_told(change: object, words: str) -> None:
    from safetensors.numpy import load, save

    data = pedal_bytes(network(), KNOBS, 48000)
    length = int.from_bytes(data[:8], "little")
    about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["neural-fx"])
    tensors = {name: value.copy() for name, value in load(data).items()}
    change(about, tensors)  # type: ignore[operator]
    with pytest.raises(ModelError, match=words):
        parse(save(tensors, {"neural-fx": json.dumps(about)}))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_pedal_files_never_crash(data: st.DataObject) -> None:
    good = pedal_bytes(knobbed(pedal(2), 2), {"a": 0.5, "b": 0.5}, 48000)
    bad = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if bad:
            bad[data.draw(st.integers(0, min(len(bad), 4000) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse(bytes(bad))
    except ModelError as error:
        assert str(error)


def test_foreign_safetensors_are_told() -> None:
    from safetensors.numpy import save

    with pytest.raises(ModelError, match="not a Neural FX file"):
        parse(save({"a": np.ones(3, np.float32)}))


@pytest.mark.filterwarnings("ignore")
def test_snapshot_sounds_as_the_pedal(tmp_path: Path) -> None:
    """The exported .nam equals the pedal with its knobs held; another implementation reads it too."""
    processor = neural_fx.load(saved(tmp_path), drive=0.7, tone=0.2, level=0.9)
    data = snapshot(processor.capture, {"drive": 0.7, "tone": "0.2", "level": 0.9})
    assert json.loads(data)["version"] == "0.7.0"
    (tmp_path / "ts.nam").write_bytes(data)
    x = 0.3 * noise(48000)
    wanted = processor(x, 48000)
    assert esr(wanted, neural_fx.load(tmp_path / "ts.nam")(x, 48000)) < 1e-11
    nam = pytest.importorskip("nam.models")
    model = nam.init_from_nam(json.loads(data)).eval()
    with torch.inference_mode():
        theirs = model(torch.from_numpy(np.concatenate((np.zeros(5000, np.float32), x)))).numpy()[-48000:]
    assert esr(wanted, theirs) < 1e-9


def test_snapshot_refuses_what_is_no_knob(tmp_path: Path) -> None:
    capture = read(saved(tmp_path))
    with pytest.raises(ParameterError, match="drive, tone, level"):
        snapshot(capture, {"gain": 0.5})
    with pytest.raises(ParameterError, match="range 0 to 1"):
        snapshot(capture, {"drive": 1.5})


def test_export_command_sets_knobs(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "ts.nam"
    assert run("export", saved(tmp_path), "--set", "drive=0.7", "-o", out)[0] == 0
    assert json.loads(out.read_text())["metadata"]["name"] == "Mine drive 0.7 tone 0.3 level 0.8"
    status, _, err = run("export", saved(tmp_path), "--set", "drive", "-o", out, "--overwrite")
    assert status == 2
    assert "KNOB=VALUE" in err


def test_turning_a_knob_does_not_click(tmp_path: Path) -> None:
    """A knob thrown from one end to the other: the step is spread over the ramp, as large as the two sounds need."""
    processor = neural_fx.load(saved(tmp_path))
    x = np.sin(2 * np.pi * 110 * np.arange(48000) / 48000).astype(np.float32) * 0.2
    processor.drive = 0.0
    low = processor(x, 48000)
    processor.drive = 1.0
    high = processor(x, 48000)
    processor.drive = 0.0
    processor.reset()
    first = processor.process(x[:24000], 48000, reset=False)
    processor.drive = 1.0
    moving = np.concatenate((first, processor.process(x[24000:], 48000, reset=False)))
    steady = max(np.abs(np.diff(y)).max() for y in (low, high))
    gap = np.abs(high - low).max() / 12  # what one of the ramp's steps may add
    assert np.abs(np.diff(moving)).max() < steady + gap
    np.testing.assert_allclose(moving[-4000:], high[-4000:], atol=1e-5 * np.abs(high).max())
