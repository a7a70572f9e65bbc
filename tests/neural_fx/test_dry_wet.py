"""Dry/wet blends are aligned to the sample, in blocks of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neural_fx.audio_queue import Queue
from neural_fx.dry_wet import DryWet, crossfade, fade_in
from neural_fx.parameters import Ramp
from tests.conftest import noise

BLOCKS = st.lists(st.integers(1, 300), min_size=1, max_size=12)


def pieces(x: np.ndarray, blocks: list[int]) -> list[np.ndarray]:
    return [part for part in np.split(x, np.cumsum(blocks), -1) if part.shape[-1]]


def impulse(at: int, samples: int = 100, channels: int = 2) -> np.ndarray:
    x = np.zeros((channels, samples), np.float32)
    x[:, at] = 1
    return x


@given(blocks=BLOCKS)
def test_a_queue_keeps_order_and_length(blocks: list[int]) -> None:
    x = noise(sum(blocks), 2)
    queue = Queue(2)
    queue.put_silence(7)
    for part in pieces(x, blocks):
        queue.put(part)
    assert len(queue) == x.shape[1] + 7
    taken = np.concatenate([queue.take(5), queue.take(3), queue.take(x.shape[1])], 1)
    np.testing.assert_array_equal(taken, np.concatenate([np.zeros((2, 7), np.float32), x], 1))
    assert len(queue) == 0


@given(blocks=BLOCKS, amount=st.floats(0, 1, width=32), ahead=st.integers(0, 500))
def test_an_effect_that_looks_ahead_is_aligned(blocks: list[int], amount: float, ahead: int) -> None:
    """The wet samples of an effect that returns fewer now and the rest later meet the dry ones of their position."""
    x = noise(sum(blocks), 2)
    mixer, effect, mixed = DryWet(2), Queue(2), []
    for part in pieces(x, blocks):
        mixer.put(part)
        effect.put(part)
        wet = -effect.take(max(0, len(effect) - ahead))
        mixed.append(mixer.blend(wet, np.float32(amount)))
    mixed.append(mixer.blend(-effect.take(len(effect)), np.float32(amount)))
    expected = x + np.float32(amount) * (-x - x)
    np.testing.assert_array_equal(np.concatenate(mixed, 1), -x if amount == 1 else expected)


@given(blocks=BLOCKS, latency=st.integers(0, 60))
def test_an_effect_with_a_declared_latency_is_aligned(blocks: list[int], latency: int) -> None:
    """Half dry and half of a delayed copy are the delayed signal itself."""
    x = np.pad(noise(sum(blocks), 2), ((0, 0), (0, 60)))
    late = np.pad(x, ((0, 0), (latency, 0)))[:, : x.shape[1]]
    mixer, mixed = DryWet(2, latency), []
    for dry, wet in zip(pieces(x, blocks), pieces(late, blocks), strict=True):
        mixer.put(dry)
        mixed.append(mixer.blend(wet, np.float32(0.5)))
    np.testing.assert_array_equal(np.concatenate(mixed, 1), late)


@given(blocks=BLOCKS)
def test_a_moving_amount_does_not_depend_on_the_blocks(blocks: list[int]) -> None:
    x = noise(sum(blocks), 2)

    def blended(cuts: list[int]) -> np.ndarray:
        mixer, ramp, parts = DryWet(2), Ramp(0.0, 200), []
        ramp.aim(0.75)
        for part in pieces(x, cuts):
            mixer.put(part)
            parts.append(mixer.blend(2 * part, ramp.next(part.shape[1])))
        return np.concatenate(parts, 1)

    np.testing.assert_array_equal(blended(blocks), blended([]))


def test_only_wet_is_returned_as_it_is() -> None:
    """No copy and no rounding, and the dry samples are still used up."""
    mixer, wet = DryWet(2), noise(10, 2)
    mixer.put(noise(10, 2, seed=1))
    assert mixer.blend(wet, np.float32(1)) is wet
    mixer.put(impulse(0, 1))
    np.testing.assert_array_equal(mixer.blend(np.zeros((2, 1), np.float32), np.float32(0)), [[1], [1]])


@pytest.mark.parametrize(
    ("change", "arrivals"),
    [(0, [10, 35]), (5, [10, 40]), (20, [10, 55]), (-5, [5, 30]), (-20, [15])],
)
def test_a_change_of_latency_moves_the_dry_signal(change: int, arrivals: list[int]) -> None:
    """More latency delays what comes from now on. Less skips what waits: at -20, the first impulse."""
    mixer = DryWet(2, 20)
    mixer.put(impulse(0, 10))
    np.testing.assert_array_equal(mixer.take_dry(10), np.zeros((2, 10)))
    mixer.change_latency(change)
    mixer.put(impulse(15))
    for channel in mixer.take_dry(200):
        assert np.flatnonzero(channel).tolist() == arrivals


def test_crossfade_and_its_amounts() -> None:
    first, second = np.ones((1, 4), np.float32), np.full((1, 4), 3, np.float32)
    np.testing.assert_array_equal(crossfade(first, second, fade_in(0, 4, 4)), [[1.5, 2, 2.5, 3]])
    whole = fade_in(0, 50, 33)
    np.testing.assert_array_equal(np.concatenate([fade_in(0, 7, 33), fade_in(7, 43, 33)]), whole)
    assert whole.dtype == np.float32
    assert (whole[32:] == 1).all()
    assert (np.diff(whole[:33]) > 0).all()
