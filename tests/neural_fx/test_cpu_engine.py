"""The compiled engine against the torch reference: every feature it takes, every instruction set, any blocks."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neural_fx
from neural_fx.engines import Stream, cpu, open_engine
from neural_fx.engines.torch import TorchEngine
from neural_fx.formats import parse
from neural_fx.networks import (
    FILM_SITES,
    Activation,
    Affine,
    Conv,
    Film,
    Layer,
    LayerArray,
    Network,
    Sequential,
    Slimmable,
    WaveNet,
    walk,
)
from tests.conftest import DOCUMENTS, esr, guitarml_document, noise, wavenet_document
from tests.counting import NO_ALLOCATIONS, needs_counts
from tests.neural_fx.formats.test_independent import aida_document
from tests.neural_fx.formats.test_references import NAMES, model_path, reference

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the compiled engine was not built (no compiler)")

TANH = Activation("tanh")
LEAKY = Activation("leaky_relu", {"negative_slope": 0.01})
PRELU = Activation("prelu", slopes=np.array([0.1, 0.5, 2.0], np.float32))
SETS = cpu.instruction_sets()
"""Of this machine: what it lacks is tested where it is at hand."""
MATRIX_UNITS = pytest.mark.skipif("amx" not in SETS, reason="this processor has no matrix units (AMX)")


def engine(network: Network, instruction_set: str = "") -> cpu.CpuEngine:
    return cpu.CpuEngine(network, instruction_set)


def random_wavenet(
    seed: int, widths: tuple[int, ...], gating: str = "none", activation: Activation = TANH,
    taps: int = 3, head_taps: int = 1, head1x1: bool = False, residual: bool = True, inputs: int = 1, groups: int = 1,
) -> WaveNet:  # fmt: skip
    rng = np.random.default_rng(seed)

    def conv(out: int, into: int, k: int = 1, dilation: int = 1, bias: bool = True, groups: int = 1) -> Conv:
        scale = 1.2 / np.sqrt(into * k)
        weight = rng.uniform(-scale, scale, (out, into // groups, k)).astype(np.float32)
        return Conv(weight, rng.uniform(-0.3, 0.3, out).astype(np.float32) if bias else None, dilation, groups)

    arrays, into = [], inputs
    for i, width in enumerate(widths):
        wide = width * (1 if gating == "none" else 2)
        after = (widths[i + 1 :] + (1,))[0]
        layers = tuple(
            Layer(
                conv=conv(wide, width, taps, d, groups=groups),
                mixin=conv(wide, inputs, bias=False),
                activation=activation,
                gating=gating,
                residual=conv(width, width) if residual else None,
                head=conv(width, width) if head1x1 else None,
            )
            for d in (1, 3, 40, 200)
        )  # fmt: skip
        arrays.append(LayerArray(conv(width, into, bias=False), layers, conv(after, width, head_taps, 2)))
        into = width
    return WaveNet(tuple(arrays), 0.7)


def random_conv(rng: np.random.Generator, out: int, into: int, taps: int = 1, dilation: int = 1) -> Conv:
    scale = 1.2 / np.sqrt(into * taps)
    weight = rng.uniform(-scale, scale, (out, into, taps)).astype(np.float32)
    return Conv(weight, rng.uniform(-0.5, 0.5, out).astype(np.float32), dilation)


def with_films(network: WaveNet, sites: tuple[str, ...], shift: bool) -> WaveNet:
    rng = np.random.default_rng(11)

    def film(layer: Layer, site: str) -> Film:
        wide = layer.conv.out_channels
        narrow = wide // (1 if layer.gating == "none" else 2)
        widths = dict(zip(FILM_SITES, (layer.conv.in_channels, wide, layer.mixin.in_channels, wide, wide, narrow,
                                       layer.conv.in_channels, narrow), strict=True))  # fmt: skip
        return Film(random_conv(rng, widths[site] * (2 if shift else 1), layer.mixin.in_channels), shift)

    arrays = tuple(
        replace(a, layers=tuple(replace(ly, films={s: film(ly, s) for s in sites}) for ly in a.layers))
        for a in network.arrays
    )
    return replace(network, arrays=arrays)


def modulated(sites: tuple[str, ...], shift: bool = True, **options: Any) -> WaveNet:
    return with_films(random_wavenet(4, (5, 3), head1x1=True, **options), sites, shift)


def posted() -> WaveNet:
    rng = np.random.default_rng(12)
    return replace(
        random_wavenet(5, (4,)),
        post_head=((TANH, random_conv(rng, 6, 1, 3)), (LEAKY, random_conv(rng, 2, 6, 5))),
    )


def conditioned() -> WaveNet:
    """A condition of three channels, computed from the input by another WaveNet."""
    condition = random_wavenet(6, (5, 3))
    rng = np.random.default_rng(13)
    last = replace(condition.arrays[-1], head=random_conv(rng, 3, 3))
    condition = replace(condition, arrays=(*condition.arrays[:-1], last))
    network = random_wavenet(7, (4,))
    layers = tuple(replace(ly, mixin=random_conv(rng, 4, 3)) for ly in network.arrays[0].layers)
    layers = tuple(replace(ly, mixin=replace(ly.mixin, bias=None)) for ly in layers)
    return replace(network, arrays=(replace(network.arrays[0], layers=layers),), condition=condition)


def stages() -> Sequential:
    rng = np.random.default_rng(14)
    scale, shift = (rng.uniform(0.5, 1.5, 6).astype(np.float32) for _ in range(2))
    chain = (random_conv(rng, 6, 2, 3, 7), Affine(scale, shift), TANH, random_conv(rng, 3, 6, 40), PRELU,
             random_conv(rng, 1, 3, 300))  # fmt: skip
    return Sequential(2, 1, chain, skip=True, input_gain=1.5, output_gain=0.5)


FEATURES: dict[str, Network] = {
    **{site: modulated((site,)) for site in FILM_SITES},
    "all films, gated": modulated(FILM_SITES, gating="gated"),
    "all films, blended, scale only": modulated(FILM_SITES, shift=False, gating="blended"),
    "all films, two inputs": modulated(FILM_SITES, inputs=2),
    "post head": posted(),
    "condition": conditioned(),
    "stages": stages(),
}


VARIANTS: dict[str, dict[str, Any]] = {
    "a1": {"widths": (16, 8)},
    "feather": {"widths": (8, 4)},
    "nano": {"widths": (4, 2)},
    "lite": {"widths": (12, 6)},
    "one": {"widths": (1,)},
    "three": {"widths": (3, 5, 7)},
    "wide": {"widths": (40,)},
    "gated": {"widths": (6,), "gating": "gated"},
    "blended": {"widths": (5,), "gating": "blended"},
    "a2": {"widths": (8,), "taps": 6, "head_taps": 16, "activation": LEAKY},
    "head1x1": {"widths": (6,), "head1x1": True},
    "no residual": {"widths": (6,), "residual": False},
    "two inputs": {"widths": (6,), "inputs": 2},
    "groups": {"widths": (8,), "groups": 4},
    "narrowing": {"widths": (16, 8, 4, 2)},
    "padded": {"widths": (9, 5, 1), "taps": 6},
    "no residual, many taps": {"widths": (8,), "taps": 6, "residual": False},
    "prelu": {"widths": (3,), "activation": PRELU},
    "prelu, many taps": {"widths": (3,), "taps": 16, "activation": PRELU},
    "blended prelu": {"widths": (3,), "gating": "blended", "activation": PRELU},
    **{
        name: {"widths": (8,), "taps": 6, "activation": Activation(name)}
        for name in ("fasttanh", "hardtanh", "relu", "sigmoid", "silu", "hardswish", "softsign", "linear")
    },
    "leaky_hardtanh": {"widths": (8,), "taps": 6, "activation": Activation(
        "leaky_hardtanh", {"min_val": -0.5, "max_val": 0.6, "min_slope": 0.1, "max_slope": 0.2})},
}  # fmt: skip


def prewarmed(network: Network, instruction_set: str) -> tuple[Stream, Stream]:
    """A stream of the torch engine and one of the compiled engine, settled with the knobs at 0.4."""
    assert cpu.supports(network)
    streams = TorchEngine(network).stream(1), engine(network, instruction_set).stream(1)
    for stream in streams:
        stream.reset(500, np.full(network.in_channels - 1, 0.4, np.float32))
    return streams


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("name", list(VARIANTS))
def test_wavenets_equal_the_torch_reference(name: str, instruction_set: str) -> None:
    network = random_wavenet(1, **VARIANTS[name])
    x = noise(3000, network.in_channels, seed=2, level=0.5)[None]
    theirs, ours = prewarmed(network, instruction_set)
    assert esr(theirs.process(x), ours.process(x)) <= (1e-9 if instruction_set == "amx" else 1e-11)


@MATRIX_UNITS
@pytest.mark.parametrize(("name", "used"), [("a1", True), ("narrowing", True), ("a2", True), ("nano", False)])
def test_matrix_units_run_the_networks_that_they_are_faster_at(name: str, used: bool) -> None:
    """Their rounding is their own, so that it tells."""
    network = random_wavenet(1, **VARIANTS[name])
    x = noise(500, network.in_channels, seed=2, level=0.5)[None]
    tiled, plain = (engine(network, kind).stream(1).process(x) for kind in ("amx", "avx512"))
    assert np.array_equal(tiled, plain) != used


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("name", list(FEATURES))
def test_every_feature_of_the_formats(name: str, instruction_set: str) -> None:
    network = FEATURES[name]
    x = noise(3000, network.in_channels, seed=2, level=0.5)[None]
    theirs, ours = prewarmed(network, instruction_set)
    whole = theirs.process(x)
    cuts = [ours.process(np.ascontiguousarray(part)) for part in np.split(x, [1, 50, 64, 700, 1900], 2)]
    assert esr(whole, np.concatenate(cuts, 2)) <= 1e-11


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("unit", ["LSTM", "GRU"])
@pytest.mark.parametrize(("hidden", "layers", "inputs"), [(1, 1, 1), (5, 2, 2), (16, 1, 1), (40, 3, 3), (80, 1, 1)])
def test_recurrent_networks_equal_the_torch_reference(
    unit: str, hidden: int, layers: int, inputs: int, instruction_set: str
) -> None:
    network = parse(json.dumps(guitarml_document(unit, inputs, hidden, layers)).encode()).network
    assert cpu.supports(network)
    x = noise(1500, inputs, seed=2, level=0.5)[None]
    theirs, ours = TorchEngine(network).stream(1), engine(network, instruction_set).stream(1)
    for stream in (theirs, ours):
        stream.reset(100, np.full(inputs - 1, 0.3, np.float32))
    assert esr(theirs.process(x), ours.process(x)) <= 1e-10


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("name", [n for n in NAMES if n != "film_layer1x1_post_film"])
def test_the_reference_engine_on_every_instruction_set(name: str, instruction_set: str, shared: Any) -> None:

    capture = neural_fx.formats.read(model_path(name))
    network = capture.network.sizes[-1] if isinstance(capture.network, Slimmable) else capture.network
    assert cpu.supports(network)
    clip = np.load(shared / "models" / "references" / "input_48k.npy").astype(np.float32)
    stream = engine(network, instruction_set).stream(1)
    stream.reset(capture.prewarm, np.zeros(0, np.float32))
    assert esr(reference(name), stream.process(clip[None, None])[0, 0]) <= 1e-9


@pytest.mark.counting
@needs_counts
@pytest.mark.parametrize("name", [*FEATURES, "lstm", "guitarml-gru"])
def test_no_allocation_inside_process(name: str) -> None:
    """Opening a stream allocates, so the counter works; `process` does not."""
    network = FEATURES.get(name) or parse(json.dumps(DOCUMENTS[name]()).encode()).network
    before = cpu.core.allocations()
    stream = engine(network).stream(2)
    assert cpu.core.allocations() > before
    stream.reset(100, np.zeros(network.in_channels - 1, np.float32))
    for n in (1, 63, 64, 65, 1000, 5000):
        stream.process(np.zeros((2, network.in_channels, n), np.float32))
    assert stream.allocations == 0


def test_the_measured_peak_is_plausible() -> None:
    for instruction_set in SETS:
        engine(FEATURES["stages"], instruction_set)
        assert 0.5 < cpu.core.fma_peak(instruction_set) < 2000


@given(blocks=st.lists(st.integers(1, 700), min_size=1, max_size=20),
       shape=st.sampled_from([((5, 3), 4), ((16, 8, 4, 2), 1), ((8,), 4)]), seed=st.integers(0, 3))  # fmt: skip
def test_any_blocks_give_the_same_samples(blocks: list[int], shape: tuple[tuple[int, ...], int], seed: int) -> None:
    """Long enough for every delay line to be moved to its front several times."""
    network = random_wavenet(seed, shape[0], head_taps=shape[1], taps=3 if len(shape[0]) > 1 else 6)
    x = noise(6000, 1, seed=seed)[None]
    stream = engine(network).stream(1)
    stream.reset(0, np.zeros(0, np.float32))
    whole = stream.process(x)
    stream.reset(0, np.zeros(0, np.float32))
    parts, at = [], 0
    while at < x.shape[2]:
        for n in blocks:
            parts.append(stream.process(np.ascontiguousarray(x[:, :, at : at + n])))
            at += n
    np.testing.assert_allclose(np.concatenate(parts, 2), whole, atol=1e-6)


@pytest.mark.parametrize("name", ["wavenet", "lstm", "guitarml-gru"])
def test_a_batch_item_equals_the_single_result(name: str) -> None:
    network = parse(json.dumps(DOCUMENTS[name]()).encode()).network
    x = noise(2000, 5, seed=3)[:, None]
    many, one = engine(network).stream(5), engine(network).stream(1)
    many.reset(50, np.zeros(0, np.float32))
    together = many.process(x)
    for i in range(5):
        one.reset(50, np.zeros(0, np.float32))
        np.testing.assert_array_equal(one.process(x[i : i + 1])[0], together[i])


def test_tanh_is_exact_to_a_few_parts_in_ten_million() -> None:
    """Through a network that is one tanh: conv and mixer are wires, everything else is nothing."""
    one, zero = np.ones((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)
    layer = Layer(Conv(zero, np.zeros(1, np.float32)), Conv(one), Activation("tanh"))
    network = WaveNet((LayerArray(Conv(one), (layer,), Conv(one)),))
    x = np.concatenate((np.linspace(-12, 12, 40001), [1e-30, -1e-8, 1e4, -1e4, 0.0])).astype(np.float32)[None, None]
    for instruction_set in SETS:
        stream = engine(network, instruction_set).stream(1)
        stream.reset(0, np.zeros(0, np.float32))
        assert np.abs(stream.process(x) - np.tanh(x.astype(np.float64))).max() < 4e-7


@pytest.mark.parametrize("name", [n for n in NAMES if n in ("lstm", "wavenet_a1_standard", "A2", "wavenet_3ch")])
@pytest.mark.parametrize("instruction_set", SETS)
def test_fast_is_right_to_four_digits(name: str, instruction_set: str) -> None:
    """ESR 1e-6 at most, and the exact form stays as it is."""
    capture = neural_fx.formats.read(model_path(name))
    network = capture.network.sizes[-1] if isinstance(capture.network, Slimmable) else capture.network
    x = noise(24000)[None, None]
    outputs = []
    for fast in (False, True):
        stream = cpu.CpuEngine(network, instruction_set, fast=fast).stream(1)
        stream.reset(2000, np.zeros(0, np.float32))
        outputs.append(stream.process(x))
    assert esr(outputs[1], outputs[0]) <= 1e-6
    tanh = any(isinstance(part, Activation) and part.name == "tanh" for part in walk(network)) or name == "lstm"
    assert np.array_equal(*outputs) != tanh


def test_denormals_are_flushed_inside_and_the_mode_comes_back() -> None:
    """A decaying recurrent network falls silent; the caller's denormals still work afterwards."""
    document = guitarml_document("LSTM", 1, 4, 1, 0)
    stream = engine(parse(json.dumps(document).encode()).network).stream(1)
    stream.reset(0, np.zeros(0, np.float32))
    stream.process(np.full((1, 1, 1000), 1e-40, np.float32))
    tiny = np.float32(1e-40)
    assert tiny * np.float32(0.5) != 0
    assert ctypes.c_float(1e-40).value != 0


def test_streams_run_beside_each_other_without_the_gil() -> None:
    network = random_wavenet(0, (16, 8))
    x = noise(48000, 1)[None]
    expected = run(network, x)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(run(network, x))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)


def run(network: Network, x: np.ndarray) -> np.ndarray:
    stream = engine(network).stream(x.shape[0])
    stream.reset(0, np.zeros(0, np.float32))
    return stream.process(x)


@pytest.mark.parametrize("shape", [(2, 1, 10), (1, 2, 10), (1, 1)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    stream = engine(random_wavenet(0, (4,))).stream(1)
    stream.reset(0, np.zeros(0, np.float32))
    with pytest.raises((ValueError, TypeError, IndexError)):
        stream.process(np.zeros(shape, np.float32))


@pytest.mark.parametrize("limit", SETS)
def test_an_environment_variable_limits_the_instruction_set(limit: str) -> None:
    code = "from neural_fx.engines import cpu; print(cpu.instruction_set(), *cpu.instruction_sets())"
    environment = {**os.environ, "NEURAL_FX_INSTRUCTION_SET": limit}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [limit, *SETS[SETS.index(limit) :]]
    assert done.stderr == ""


def test_an_unknown_limit_is_remarked_on() -> None:
    code = "from neural_fx.engines import cpu; print(cpu.instruction_set())"
    environment = {**os.environ, "NEURAL_FX_INSTRUCTION_SET": "neon9"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() in cpu.KNOWN_SETS
    assert "neon9: ignored; expected one of amx, avx512" in done.stderr


def test_who_runs_what(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = random_wavenet(0, (4,))
    soft = Sequential(
        1, 1, (plain.arrays[0].rechannel, Activation("softmax"), random_conv(np.random.default_rng(), 1, 4))
    )
    assert isinstance(open_engine(plain), cpu.CpuEngine)
    assert isinstance(open_engine(plain, "torch"), TorchEngine)
    assert isinstance(open_engine(soft), TorchEngine)
    assert not cpu.supports(replace(plain, condition=soft))
    assert isinstance(open_engine(parse(json.dumps(aida_document()).encode()).network), cpu.CpuEngine)
    monkeypatch.setattr(cpu, "core", None)
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler"):
        assert isinstance(open_engine(plain), TorchEngine)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_engine(plain, "torch")


def test_wavenet_document_is_taken() -> None:
    assert cpu.supports(parse(json.dumps(wavenet_document()).encode()).network)


@pytest.mark.counting
@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("taps", [1023, 1024, 1025, 1281, 6000])
def test_long_filters_are_the_convolution(taps: int, instruction_set: str) -> None:
    """Partitioned by the FFT from 1024 taps on: what numpy computes in float64, for any blocks, without latency."""
    rng = np.random.default_rng(taps)
    response = rng.normal(size=taps) * np.exp(-5 * np.arange(taps) / taps) / 30
    conv = Conv(response[::-1].astype(np.float32).reshape(1, 1, -1), np.array([0.1], np.float32))
    x = noise(9000)
    stream = engine(Sequential(1, 1, (conv,)), instruction_set).stream(1)
    for _ in range(2):
        stream.reset(0, np.zeros(0, np.float32))
        parts = np.split(x[None, None], [1, 63, 700, 701, 3000], 2)
        out = np.concatenate([stream.process(np.ascontiguousarray(part)) for part in parts], 2)[0, 0]
    exact = np.convolve(x.astype(np.float64), response.astype(np.float32))[: len(x)] + np.float32(0.1)
    assert esr(exact, out) < 1e-11
    assert stream.allocations == NO_ALLOCATIONS
