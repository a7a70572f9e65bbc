"""Any partition into blocks equals the one-shot result: every architecture, every rate, chains, stereo."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pedalboard
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neural_fx
from neural_fx.formats import parse
from neural_fx.neural import NeuralProcessor
from neural_fx.processor import Processor
from tests.conftest import DOCUMENTS, noise, wavenet_document
from tests.neural_fx.test_processor import Late

BLOCKS = st.lists(st.integers(1, 5000), min_size=1, max_size=12)


@cache
def processor(name: str, device: str = "auto") -> NeuralProcessor:
    return NeuralProcessor(parse(json.dumps(DOCUMENTS[name]()).encode()), device=device)


def neural(seed: int = 0) -> NeuralProcessor:
    return NeuralProcessor(parse(json.dumps(wavenet_document(seed)).encode()))


def assert_streams(board: Processor, x: np.ndarray, rate: float, blocks: list[int], buffer_size: int = 8192) -> None:
    """One call equals the concatenated blocks plus what `flush` brings, to 1e-5 of the peak."""
    whole = board.process(x, rate, buffer_size)
    assert whole.shape == x.shape
    board.reset()
    parts, start, taken, given, most = [], 0, 0, 0, 0
    board.process(x[..., :0], rate, buffer_size, reset=True)
    for n in [*blocks, x.shape[-1]]:
        block = x[..., start : start + n]
        if block.shape[-1] == 0:
            continue
        parts.append(board.process(block, rate, buffer_size, reset=False))
        start, taken, given = start + n, taken + block.shape[-1], given + parts[-1].shape[-1]
        most = max(most, taken - given)
    assert most <= board.latency_samples
    parts.append(board.flush())
    streamed = np.concatenate([p for p in parts if p.shape[-1]], -1)
    assert streamed.shape == whole.shape
    assert np.abs(streamed - whole).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("device", ["auto", "torch"])
@pytest.mark.parametrize("name", list(DOCUMENTS))
@given(blocks=BLOCKS)
def test_every_architecture(name: str, device: str, blocks: list[int]) -> None:
    played = processor(name, device)
    assert_streams(played, noise(sum(blocks[:4])), played.sample_rate, blocks)


@pytest.mark.parametrize("rate", [44100, 48000, 88200, 96000])
@given(blocks=BLOCKS)
def test_every_rate(rate: int, blocks: list[int]) -> None:
    assert_streams(processor("wavenet"), noise(sum(blocks[:4]), seed=2), rate, blocks)


@given(blocks=BLOCKS, rate=st.sampled_from([44100, 48000]))
def test_chain_with_native_plugins_and_stereo(blocks: list[int], rate: int) -> None:
    board = neural_fx.Pedalboard(
        [
            pedalboard.Compressor(-20, 4),
            pedalboard.Chorus(),
            neural(1),
            pedalboard.Reverb(0.6),
            neural_fx.Mix(
                [pedalboard.Delay(0.01), neural_fx.Chain([neural(2), pedalboard.HighpassFilter(200)]), Late()]
            ),
            pedalboard.Limiter(),
        ],
        mix=0.7,
    )
    x = noise(max(3, sum(blocks[:3])), 2, seed=3)
    assert_streams(board, x, rate, [max(3, blocks[0]), *blocks[1:]])


@pytest.mark.parametrize(
    "plugin", [pedalboard.Resample(16000), pedalboard.GSMFullRateCompressor(), pedalboard.MP3Compressor(),
               pedalboard.PitchShift(3), pedalboard.Convolution(noise(500, 1), sample_rate=48000)],
    ids=lambda p: type(p).__name__,
)  # fmt: skip
def test_native_plugins_that_depend_on_their_blocks(plugin: pedalboard.Plugin) -> None:
    x = noise(30000, seed=4)
    assert np.abs(neural_fx.Pedalboard([plugin])(x, 48000)).max() > 0.01
    for blocks in ([7, 1000, 3, 20000], [5000, 5000, 5000]):
        assert_streams(neural_fx.Pedalboard([plugin, neural()]), x, 48000, blocks, buffer_size=2048)


@given(blocks=BLOCKS)
def test_channels_are_independent(blocks: list[int]) -> None:
    x = noise(3000, 3, seed=5)
    together = processor("wavenet")(x, 44100)
    for channel in range(3):
        alone = processor("wavenet")(x[channel], 44100)
        assert np.abs(together[channel] - alone).max() <= 1e-5 * np.abs(alone).max()


def test_layouts_give_the_same_numbers() -> None:
    x = noise(3000, 2, seed=6)
    np.testing.assert_array_equal(processor("wavenet")(x.T, 48000).T, processor("wavenet")(x, 48000))


def test_resampling_is_transparent_and_aligned() -> None:
    """A model that is a wire, at 48 kHz inside a 44.1 kHz stream, gives the signal back in place."""
    wire = {"version": "0.5.4", "architecture": "Linear", "config": {"receptive_field": 1, "bias": False},
            "weights": [1.0], "sample_rate": 48000}  # fmt: skip
    processor = NeuralProcessor(parse(json.dumps(wire).encode()))
    t = np.arange(44100) / 44100
    for frequency in (50, 997, 5000, 15000):
        x = (0.5 * np.sin(2 * np.pi * frequency * t) * np.hanning(len(t))).astype(np.float32)
        y = processor(x, 44100)
        assert np.abs(x - y).max() < 3e-5  # -84 dB of the peak, phase and all


@given(st.data())
def test_fuzz_of_the_array_loop(data: Any) -> None:
    """Parameters moved at block borders while streaming never break the stream's length or finiteness."""
    p = processor("guitarml-lstm")
    p.reset()
    total = out = 0
    for n in data.draw(st.lists(st.integers(1, 700), min_size=1, max_size=8)):
        p.gain = data.draw(st.floats(0, 1))
        y = p.process(noise(n, seed=n), 48000, reset=False)
        total, out = total + n, out + len(y)
        assert np.isfinite(y).all()
    assert out + len(p.flush()) == total


def test_no_level_ends_the_process_in_an_encoder() -> None:
    """MP3Compressor exits at samples of 1e7 and more; it puts out full scale at most."""
    x = noise(30000, level=1e12)
    out = neural_fx.Pedalboard([pedalboard.Gain(0), pedalboard.MP3Compressor()])(x, 48000)
    assert 0.5 < np.abs(out).max() < 1.2
