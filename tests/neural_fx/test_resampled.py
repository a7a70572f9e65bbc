"""A stage at another rate gives a signal back in place, in blocks of any size, within its declared latency."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_fx.formats import parse
from neural_fx.neural import NeuralProcessor
from neural_fx.resampled import ResampledStage
from neural_fx.resampling import round_trip_latency
from tests.conftest import DOCUMENTS, noise

BLOCKS = st.lists(st.integers(1, 3000), min_size=1, max_size=10)
RATES = [(48000, 48000), (44100, 48000), (96000, 48000), (44100, 192000), (192000, 96000)]


def wire(stage: ResampledStage, x: np.ndarray, blocks: list[int]) -> tuple[np.ndarray, int]:
    """Send a signal in and back; return what arrives, and the most samples that were missing after a block."""
    parts, taken, given, most = [], 0, 0, 0
    for part in np.split(x, np.cumsum(blocks), 1):
        if part.shape[1]:
            inner = stage.into(part)
            assert inner.shape[1] % stage.multiple == 0
            parts.append(stage.back(inner))
            taken, given = taken + part.shape[1], given + parts[-1].shape[1]
            most = max(most, taken - given)
    return np.concatenate(parts, 1), most


@pytest.mark.parametrize("multiple", [1, 2, 4, 8])
@pytest.mark.parametrize(("rate", "inner"), RATES)
@given(blocks=BLOCKS)
def test_blocks_make_no_difference_and_latency_is_kept(rate: int, inner: int, multiple: int, blocks: list[int]) -> None:
    x = noise(sum(blocks), 2)
    stage = ResampledStage(rate, inner, 2, multiple)
    streamed, most = wire(stage, x, blocks)
    whole, _ = wire(ResampledStage(rate, inner, 2, multiple), x, [])
    assert most <= stage.latency_samples()
    count = min(streamed.shape[1], whole.shape[1])
    assert count >= x.shape[1] - stage.latency_samples()
    np.testing.assert_allclose(streamed[:, :count], whole[:, :count], atol=1e-6)


@pytest.mark.parametrize(("rate", "inner"), RATES[1:])
def test_a_signal_comes_back_in_place(rate: int, inner: int) -> None:
    """An impulse returns at its own time, and a tone with its phase."""
    stage = ResampledStage(rate, inner, 1)
    x = np.zeros((1, 4000), np.float32)
    x[0, 1500] = 1
    assert int(np.argmax(np.abs(wire(stage, x, [700])[0]))) == 1500
    t = np.arange(8000) / rate
    tone = (np.sin(2 * np.pi * 997 * t) * np.hanning(len(t))).astype(np.float32)[None]
    back, _ = wire(ResampledStage(rate, inner, 1), tone, [700])
    assert np.abs(back - tone[:, : back.shape[1]]).max() < 1e-4


def test_equal_rates_pass_blocks_as_they_are() -> None:
    stage, block = ResampledStage(48000, 48000, 2), noise(100, 2)
    assert stage.into(block) is block
    assert stage.back(block) is block
    assert not stage.converts
    assert (stage.latency_samples(), stage.latency_samples(30)) == (0, 30)


def test_latency_counts_what_the_part_holds_back() -> None:
    conversion = round_trip_latency(96000, 48000)
    stage = ResampledStage(96000, 48000, 1)
    assert stage.converts
    assert stage.latency_samples() == conversion
    assert stage.latency_samples(100) == conversion + 200
    assert ResampledStage(44100, 48000, 1).latency_samples(100) == round_trip_latency(44100, 48000) + 92


@pytest.mark.parametrize("oversample", [2, 4, 8])
@given(blocks=BLOCKS)
def test_an_oversampled_capture_in_a_stream_of_its_inner_rate(oversample: int, blocks: list[int]) -> None:
    """Blocks that do not fill a turn of the model's copies wait for the next block."""
    capture = parse(json.dumps(DOCUMENTS["wavenet"]()).encode())
    x, rate = noise(sum(blocks)), 48000 * oversample
    processor = NeuralProcessor(capture, oversample=oversample)
    parts = [processor.process(part, rate, reset=False) for part in np.split(x, np.cumsum(blocks)) if len(part)]
    assert processor.latency_samples == oversample - 1
    streamed = np.concatenate([*parts, processor.flush()])
    whole = NeuralProcessor(capture, oversample=oversample)(x, rate)
    assert streamed.shape == whole.shape == x.shape
    assert np.abs(streamed - whole).max() <= 1e-5 * np.abs(whole).max()
