"""The compiled voices play what the voices in numpy play, in blocks of any sizes, without allocations."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from instruments.contract import VOICES, Touch
from instruments.latent.compiled_voices import CompiledLatentVoices
from instruments.latent.network import LatentNetwork, Sizes, weight_shapes
from instruments.latent.subbands import RATE
from instruments.latent.voices import LatentVoices
from neural_fx.engines import cpu
from tests.counting import needs_counts

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the compiled kernels were not built")

SIZES = Sizes(timbre=4, note=24, frame=40, summary=6, encoder=10)


def audible_network(seed: int = 0, level: float = 1.5) -> LatentNetwork:
    """Return a random network whose notes sound until long after their release."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(SIZES).items():
        weights[name] = (rng.normal(0, 1, shape) / np.sqrt(shape[-1])).astype(np.float32)
    weights["frame.outputs.bias"] = rng.normal(level, 0.5, shape[0]).astype(np.float32)
    weights["frame.outputs.bias"][-1] = 9
    return LatentNetwork(weights)


class Moving:
    """A timbre and a gain that move at every tick."""

    def __init__(self) -> None:
        self.ticks = 0

    def tick(self) -> None:
        self.ticks += 1

    def timbre(self) -> np.ndarray:
        return np.array([0.5, -0.2, 0.1, 0.3]) * min(self.ticks // 40, 3)

    def gain_db(self) -> float:
        return -0.01 * self.ticks


def played(voices: LatentVoices | CompiledLatentVoices, seed: int, sizes: list[int]) -> np.ndarray:
    """Return what voices play that are started, stolen, bent and released at random between blocks."""
    rng = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        voice = int(rng.integers(3))
        pitch = float(rng.uniform(30, 90))
        touch = Touch(pitch, float(rng.uniform(0.1, 1)), float(rng.uniform(0, 1)), {7: 0.9, 11: 0.8}, held=True)
        action = int(rng.integers(4))
        if action <= 1:
            voices.start(voice, touch)
        elif voices.sounding(voice):
            touch.held = action == 2
            voices.change(voice, touch)
        parts.append(voices.render(size))
    return np.concatenate(parts)


@pytest.mark.parametrize("seed", range(4))
def test_voices_equal_numpy(seed: int) -> None:
    network = audible_network(seed)
    sizes = np.random.default_rng(seed).integers(0, 700, 25).tolist()
    reference = LatentVoices(network, Moving(), seed)
    ours = CompiledLatentVoices(network, Moving(), seed)
    expected = played(reference, seed, sizes)
    found = played(ours, seed, sizes)
    assert np.abs(expected).max() > 1e-3
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    for voice in range(VOICES):
        assert ours.sounding(voice) == reference.sounding(voice)
        assert ours.level(voice) == pytest.approx(reference.level(voice), abs=1e-3)


def test_long_notes_equal_numpy() -> None:
    network = audible_network(5)
    outs = []
    for kind in (LatentVoices, CompiledLatentVoices):
        voices = kind(network, Moving())
        voices.start(0, Touch(40.0, 0.8, held=True))
        parts = [voices.render(int(1.6 * RATE))]
        voices.change(0, Touch(40.0, 0.8, held=False))
        parts.append(voices.render(RATE // 10))
        outs.append(np.concatenate(parts))
    # Pitches come from a network in float32, so phases drift apart: by more than in short notes.
    assert np.abs(outs[0] - outs[1]).max() < 1e-3 * np.abs(outs[0]).max()


@pytest.mark.parametrize("size", [1, 64, 119, 121, 256])
def test_the_sound_does_not_depend_on_the_blocks(size: int) -> None:
    network = audible_network()
    outs = []
    for sizes in ([2000], [size] * (2000 // size) + [2000 % size]):
        voices = CompiledLatentVoices(network, Moving())
        voices.render(50)
        voices.start(1, Touch(60.0, 0.8, held=True))
        outs.append(np.concatenate([voices.render(part) for part in sizes]))
    assert np.array_equal(*outs)


def test_two_threads_share_a_network() -> None:
    network = audible_network()
    results = {}

    def play(key: int) -> None:
        results[key] = played(CompiledLatentVoices(network, Moving()), 1, [300] * 30)

    threads = [threading.Thread(target=play, args=(key,)) for key in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(results[0], results[1])


@needs_counts
@pytest.mark.counting
def test_voices_allocate_nothing() -> None:
    voices = CompiledLatentVoices(audible_network(), Moving())._native
    out = np.zeros(500, np.float32)
    controls = [np.zeros((ticks, 5)) for ticks in range(6)]
    before = cpu.core.allocations()
    for count in (100, 500, 240):
        for _ in range(6):  # more stolen notes than fade out at once
            for voice in range(VOICES):
                voices.start(voice, (60.0 + voice, 80.0, 0.0), True)
        voices.render(controls[voices.ticks(count)], out[:count])
        voices.change(3, (63.0, 80.0, 0.0), False)
    assert cpu.core.allocations() == before


def test_sizes_that_do_not_fit_are_refused() -> None:
    voices = CompiledLatentVoices(audible_network(), Moving())._native
    with pytest.raises(ValueError, match="sizes do not fit"):
        voices.render(np.zeros((1, 5)), np.zeros(500, np.float32))
    with pytest.raises(IndexError):
        voices.start(VOICES, (60.0, 80.0, 0.0), True)
