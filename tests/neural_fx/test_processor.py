"""The `Processor` contract, side by side with pedalboard's own processors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pedalboard
import pytest

import neural_fx
from neural_fx.errors import ParameterError
from neural_fx.parameters import Parameter, Ramp
from neural_fx.processor import Processor
from tests.conftest import noise


class Twice(Processor):
    PARAMETERS = (Parameter("gain", 0, 4, 2, "x"),)

    def process_block(self, block: np.ndarray) -> np.ndarray:
        return np.float32(self.gain) * block


class Late(Processor):
    """Looks ahead by 100 samples: the shape of every processor with latency."""

    latency_samples = 100

    def prepare(self, spec: Any) -> None:
        self._held = np.zeros((spec.channels, 0), np.float32)

    def process_block(self, block: np.ndarray) -> np.ndarray:
        self._held = np.concatenate((self._held, block), 1)
        ready = max(0, self._held.shape[1] - 100)
        out, self._held = self._held[:, :ready], self._held[:, ready:]
        return out


def outcome(call: Any) -> Any:
    try:
        result = call()
    except Exception as error:
        return type(error)
    return result.shape, result.dtype


ARRAYS: dict[str, Any] = {
    "mono": noise(100),
    "float64": noise(100).astype(np.float64),
    "channels first": noise(100, 2),
    "channels last": noise(100, 2).T,
    "one channel": noise(100, 1),
    "one channel last": noise(100, 1).T,
    "five channels": noise(100, 5),
    "empty": np.zeros(0, np.float32),
    "empty channels first": np.zeros((2, 0), np.float32),
    "empty channels last": np.zeros((0, 2), np.float32),
    "int16": np.zeros(10, np.int16),
    "float16": np.zeros(10, np.float16),
    "complex": np.zeros(10, np.complex64),
    "bool": np.zeros(10, bool),
    "list": [0.0, 1.0],
    "none": None,
    "three dimensions": np.zeros((2, 2, 2), np.float32),
    "no dimension": np.zeros((), np.float32),
    "square, layout unknown": np.zeros((2, 2), np.float32),
}


@pytest.mark.parametrize("name", list(ARRAYS))
@pytest.mark.parametrize("reset", [True, False])
def test_takes_and_refuses_what_pedalboard_does(name: str, reset: bool) -> None:
    array = ARRAYS[name]
    theirs = outcome(lambda: pedalboard.Gain(6).process(array, 48000.0, reset=reset))
    assert outcome(lambda: Twice().process(array, 48000.0, reset=reset)) == theirs
    assert outcome(lambda: neural_fx.Pedalboard([pedalboard.Gain(6)])(array, 48000.0, reset=reset)) == theirs


@pytest.mark.parametrize(
    ("first", "then"),
    [((2, 100), (2, 1)), ((100, 2), (1, 2)), ((2, 100), (50, 2)), ((100, 2), (2, 50)), ((2, 100), (3, 2)),
     ((3, 100), (3, 2)), ((100, 3), (2, 3)), ((2, 100), (2, 2)), ((100, 2), (2, 2)), ((1, 100), (5, 1))],
)  # fmt: skip
def test_layouts_are_remembered_as_by_pedalboard(first: tuple[int, int], then: tuple[int, int]) -> None:
    """A high-pass tells the dimensions apart: it acts along time only."""
    block = np.arange(1, 1 + np.prod(then), dtype=np.float32).reshape(then)
    outputs = []
    for board in (pedalboard.Pedalboard([pedalboard.HighpassFilter(5000)]),
                  neural_fx.Pedalboard([pedalboard.HighpassFilter(5000)])):  # fmt: skip
        board.process(np.zeros(first, np.float32), 48000.0, reset=False)
        outputs.append(board.process(block, 48000.0, reset=False))
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-5)


def test_reset_forgets_the_layout() -> None:
    processor = Twice()
    processor(noise(10, 2), 48000)
    processor(np.ones((2, 2), np.float32), 48000)
    processor.reset()
    with pytest.raises(RuntimeError, match="channel layout"):
        processor(np.ones((2, 2), np.float32), 48000)


BAD_NUMBERS = [
    (0, 10, ValueError),
    (-1, 10, ValueError),
    (float("nan"), 10, ValueError),
    ("48000", 10, TypeError),
    (None, 10, TypeError),
    (48000, 0, ValueError),
]


@pytest.mark.parametrize(("rate", "size", "error"), BAD_NUMBERS)
def test_rates_and_sizes_must_be_positive(rate: Any, size: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Twice().process(noise(10), rate, size)


def test_the_input_is_not_changed() -> None:
    x = noise(1000, 2)
    before = x.copy()
    neural_fx.Pedalboard([Twice(), pedalboard.Gain(6), Late()])(x, 48000)
    np.testing.assert_array_equal(x, before)


def test_latency_is_removed_offline_and_held_back_while_streaming() -> None:
    x = noise(1000)
    late = Late()
    np.testing.assert_array_equal(late(x, 48000), x)
    first = late.process(x[:300], 48000, reset=False)
    second = late.process(x[300:], 48000, reset=False)
    assert (len(first), len(second)) == (200, 700)
    np.testing.assert_array_equal(np.concatenate((first, second, late.flush())), x)
    assert len(late.flush()) == 0


def test_a_stream_ends_with_a_reset_call() -> None:
    x = noise(500)
    late = Late()
    late.process(x, 48000, reset=False)
    np.testing.assert_array_equal(late.process(x, 48000), x)


def test_a_processor_that_returns_nothing_still_ends() -> None:
    class Silent(Processor):
        def process_block(self, block: np.ndarray) -> np.ndarray:
            return block[:, :0]

    np.testing.assert_array_equal(Silent()(noise(100, 2), 48000), np.zeros((2, 100)))


def test_parameters_are_attributes() -> None:
    processor = Twice(gain=3)
    assert processor.gain == 3
    processor.gain = 0.5
    np.testing.assert_allclose(processor(np.ones(4, np.float32), 48000), 0.5)
    assert list(processor.parameters) == ["gain"]
    assert "gain=0.5" in repr(processor)
    assert hasattr(processor, "gain")
    assert not hasattr(processor, "drive")


@pytest.mark.parametrize("act", [
    lambda p: setattr(p, "gian", 1), lambda p: p.gian, lambda p: p.set_parameter("gian", 1), lambda p: Twice(gian=1),
])  # fmt: skip
def test_unknown_parameters_list_the_valid_ones(act: Any) -> None:
    with pytest.raises(ParameterError, match=r"no parameter 'gian' \(did you mean 'gain'\?\); it has: gain"):
        act(Twice())


@pytest.mark.parametrize("value", [-1, 5, float("nan"), "loud", None, [1]])
def test_values_outside_the_range_are_refused(value: Any) -> None:
    with pytest.raises(ParameterError, match="gain"):
        Twice().gain = value


def test_ramp_is_the_same_for_any_cut() -> None:
    def values(cuts: list[int]) -> np.ndarray:
        ramp, out = Ramp(0.0, 100), []
        for i, n in enumerate(cuts):
            if i == 0:
                ramp.aim(1.0)
            out.append(np.broadcast_to(ramp.next(n), n))
        return np.concatenate(out)

    whole = values([150])
    np.testing.assert_allclose(whole[:100], np.arange(1, 101) / 100, atol=1e-6)
    np.testing.assert_allclose(whole[100:], 1)
    np.testing.assert_allclose(values([1, 49, 50, 50]), whole, atol=1e-6)
