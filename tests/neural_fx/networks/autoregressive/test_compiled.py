from __future__ import annotations

import numpy as np
import pytest
import torch

from neural_fx.arrays import Array, Numbers
from neural_fx.engines import cpu
from neural_fx.networks.autoregressive.compiled import CompiledGenerator, ContextStream
from neural_fx.networks.autoregressive.description import Description, Inputs, RecurrentSizes, WaveNetSizes
from neural_fx.networks.autoregressive.files import weights_of
from neural_fx.networks.autoregressive.generation import generate, unit_samples
from neural_fx.networks.autoregressive.model import Autoregressive, build
from neural_fx.networks.autoregressive.signal import Signal
from tests.counting import NO_ALLOCATIONS

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the kernels were not built")

DESCRIPTIONS = {
    "wavenet": Description(WaveNetSizes(dilations=tuple(2**k for k in range(8)))),
    "odd wavenet": Description(WaveNetSizes(5, 7, (1, 3, 6)), Inputs(harmonics=(1,), voice=3), Signal(levels=100)),
    "wavenet of logistics": Description(WaveNetSizes(6, 10, (1, 2, 4), "logistics", 3)),
    "wavenet with context": Description(WaveNetSizes(16, 20, (1, 2, 4)), Inputs(context=3, context_layers=3)),
    "recurrent": Description(RecurrentSizes()),
    "odd recurrent": Description(RecurrentSizes(13, 5, 9), Inputs(harmonics=())),
    "recurrent of logistics": Description(RecurrentSizes(12, 5, 9, "logistics", 4)),
}


class Playing:
    """A network in torch and compiled, and the conditions of three voices."""

    def __init__(self, name: str, instruction_set: str = "", voices: int = 3, samples: int = 600) -> None:
        torch.manual_seed(3)
        self.model = build(DESCRIPTIONS[name])
        if self.model.description.sizes.output == "classes":
            self.model.last.bias.data[0] = -100  # class 0 is not used: it has the value of class 1
        self.samples = samples
        rng = np.random.default_rng(4)
        inputs = self.model.description.inputs
        frames = 2 + samples // self.model.description.signal.hop
        self.frames = rng.standard_normal((voices, frames, inputs.frame)).astype(np.float32)
        self.cycles = np.cumsum(rng.uniform(0.01, 0.02, (voices, samples)), axis=1)
        self.voices = rng.standard_normal((voices, inputs.voice)).astype(np.float32)
        self.weights = weights_of(self.model)
        self.context = np.stack([ContextStream(self.model.description, self.weights).process(f) for f in self.frames])
        self.compiled = CompiledGenerator(self.model.description, self.weights, voices + 1, instruction_set)

    def conditions(self) -> torch.Tensor:
        tensors = (torch.from_numpy(array) for array in (self.frames, self.cycles, self.voices))
        return self.model.conditions(*tensors).detach()

    def reference(self, seeds: tuple[int, ...], temperature: float = 1.0) -> Numbers:
        return unit_samples(self.model, generate(self.model, self.conditions(), seeds, temperature))

    def play(self, row: int, slot: int, first: int, last: int) -> Array:
        return self.play_together((row,), (slot,), first, last)[0]

    def play_together(self, rows: tuple[int, ...], slots: tuple[int, ...], first: int, last: int) -> Array:
        hop = self.model.description.signal.hop
        chosen = list(rows)
        return self.compiled.generate(
            slots, self.context[chosen, first // hop :], self.cycles[chosen, first:last], self.voices[chosen],
            [first % hop] * len(rows),
        )  # fmt: skip


def silence(model: Autoregressive) -> float:
    return float(model.first(1)[0, 0])


@pytest.mark.parametrize("instruction_set", cpu.instruction_sets())
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_distributions_equal_those_of_torch(name: str, instruction_set: str) -> None:
    playing = Playing(name, instruction_set)
    rng = np.random.default_rng(5)
    classes = playing.model.description.sizes.output == "classes"
    levels = playing.model.description.signal.levels
    previous = rng.integers(0, levels, playing.cycles.shape) if classes else rng.uniform(-1, 1, playing.cycles.shape)
    previous[:, 0] = silence(playing.model)
    found = playing.compiled.force((0, 3, 1), previous, playing.context, playing.cycles, playing.voices)
    tensor = torch.from_numpy(previous if classes else previous.astype(np.float32))
    with torch.no_grad():
        expected, _ = playing.model(tensor, playing.conditions())
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4)


def distance_from_draws(playing: Playing, samples: Numbers, seed: int, temperature: float) -> float:
    """Return the largest distance between a draw's uniform number and the cumulative probabilities around its class.

    Torch computes the probabilities after the samples of the first voice.
    """
    classes = playing.model.description.signal.encode(samples)
    previous = playing.model.previous(torch.from_numpy(classes)[None])
    with torch.no_grad():
        logits = playing.model(previous, playing.conditions()[:1])[0][0].double()
    cumulative = np.pad(torch.softmax(logits / temperature, dim=1).cumsum(dim=1).numpy(), ((0, 0), (1, 0)))
    uniform = np.random.default_rng(seed).random(len(classes), dtype=np.float32)
    each = np.arange(len(classes))
    below, above = cumulative[each, classes], cumulative[each, classes + 1]
    return float(np.maximum(below - uniform, uniform - above).max())


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("name", [name for name in DESCRIPTIONS if "logistics" not in name])
def test_samples_are_drawn_as_in_torch(name: str, temperature: float) -> None:
    playing = Playing(name)
    playing.compiled.start(0, 11)
    playing.compiled.set_temperature(0, temperature)
    assert distance_from_draws(playing, playing.play(0, 0, 0, 600), 11, temperature) < 2e-6


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
@pytest.mark.parametrize("name", [name for name in DESCRIPTIONS if "logistics" not in name])
def test_samples_equal_those_of_torch(name: str, temperature: float) -> None:
    playing = Playing(name, samples=400)
    seeds = (21, 22, 23)
    for slot, seed in enumerate(seeds):
        playing.compiled.start(slot, seed)
        playing.compiled.set_temperature(slot, temperature)
    found = playing.play_together((0, 1, 2), (0, 1, 2), 0, 400)
    np.testing.assert_allclose(found, playing.reference(seeds, temperature), rtol=0, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.0])
@pytest.mark.parametrize("name", [name for name in DESCRIPTIONS if "logistics" in name])
def test_values_equal_those_of_torch(name: str, temperature: float) -> None:
    # Values are continuous, so rounding adds up over time.
    playing = Playing(name, samples=200)
    for slot in range(3):
        playing.compiled.start(slot, 20 + slot)
        playing.compiled.set_temperature(slot, temperature)
    found = playing.play_together((0, 1, 2), (0, 1, 2), 0, 200)
    np.testing.assert_allclose(found, playing.reference((20, 21, 22), temperature), rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wavenet", "recurrent"])
def test_ten_thousand_samples_equal_those_of_torch(name: str) -> None:
    playing = Playing(name, voices=1, samples=10_000)
    playing.compiled.start(0, 30)
    found = playing.play(0, 0, 0, 10_000)
    assert distance_from_draws(playing, found, 30, 1.0) < 2e-6
    np.testing.assert_allclose(found, playing.reference((30,))[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_blocks_and_other_voices_do_not_matter(name: str) -> None:
    playing = Playing(name)
    playing.compiled.start(0, 7)
    whole = playing.play(0, 0, 0, 600)
    playing.compiled.start(2, 7)
    playing.compiled.start(0, 8)
    playing.compiled.start(1, 9)
    playing.compiled.start(3, 10)
    blocks = [
        playing.play(0, 2, 0, 1),
        playing.play(0, 2, 1, 96),
        playing.play_together((1, 0), (0, 2), 96, 250)[1],
        playing.play_together((2, 0, 1), (1, 2, 0), 250, 251)[1],
        playing.play_together((2, 1, 1, 0), (1, 0, 3, 2), 251, 480)[3],
        playing.play(0, 2, 480, 600),
    ]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_a_slot_begins_anew() -> None:
    playing = Playing("wavenet")
    playing.compiled.start(0, 7)
    first = playing.play(0, 0, 0, 300)
    playing.play(0, 0, 300, 600)
    playing.compiled.start(0, 7)
    np.testing.assert_array_equal(playing.play(0, 0, 0, 300), first)


@pytest.mark.counting
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_generating_allocates_nothing(name: str) -> None:
    playing = Playing(name, samples=200)
    playing.play_together((0, 1, 2), (0, 1, 2), 0, 200)
    assert playing.compiled.allocations == NO_ALLOCATIONS


def test_context_frame_by_frame_equals_that_of_torch() -> None:
    playing = Playing("wavenet with context")
    stream = ContextStream(playing.model.description, playing.weights)
    found = np.concatenate(
        [stream.process(playing.frames[0, :2])] + [stream.process(f[None]) for f in playing.frames[0, 2:]]
    )
    with torch.no_grad():
        expected = playing.model.context(torch.from_numpy(playing.frames[:1]))[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_refuses_what_does_not_fit() -> None:
    playing = Playing("odd wavenet")
    with pytest.raises(ValueError, match="slot"):
        playing.play(0, 4, 0, 10)
    with pytest.raises(ValueError, match="twice"):
        playing.play_together((0, 1), (1, 1), 0, 10)
    with pytest.raises(ValueError, match="slot"):
        playing.compiled.start(-1, 0)
    with pytest.raises(ValueError, match="do not fit"):
        playing.compiled.generate((0,), playing.context[:1, :, 1:], playing.cycles[:1], playing.voices[:1])
    previous = np.full_like(playing.cycles[:1], 100)
    with pytest.raises(ValueError, match="out of range"):
        playing.compiled.force((0,), previous, playing.context[:1], playing.cycles[:1], playing.voices[:1])
    wrong = playing.weights | {"hidden.bias": np.zeros(1)}
    with pytest.raises(ValueError, match="sizes"):
        CompiledGenerator(playing.model.description, wrong, 1)
