"""Which boards the native loop plays, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pedalboard
import pytest

from neural_fx import native_loop
from neural_fx.arrays import Audio
from neural_fx.impulse import Convolution
from neural_fx.native_loop import Plan, available, native_plan, prepare_for_loop, settled
from neural_fx.neural import NeuralProcessor
from neural_fx.pedalboard import Chain, Mix, Pedalboard
from neural_fx.pedals import BigMuff, KlonGainStage, TubeScreamer
from neural_fx.processor import Spec
from tests.conftest import noise

pytestmark = pytest.mark.skipif(not available(), reason="the native loop was not built (no compiler, or Windows)")
SPEC = Spec(48000, 2, 128)


class Louder(TubeScreamer):
    """A capture with Python around it."""

    def process_block(self, block: Audio) -> Audio:
        return 2 * super().process_block(block)


class Inverted(Pedalboard):
    """A board with Python at its end."""

    def _out(self, wet: Audio) -> Audio:
        return -super()._out(wet)


def opened(board: Pedalboard, spec: Spec = SPEC) -> Pedalboard:
    board.open_stream(spec)
    return board


@pytest.mark.parametrize(
    "make",
    [
        Pedalboard,
        lambda: Pedalboard([TubeScreamer(), KlonGainStage(), BigMuff()], mix=0.5),
        lambda: Pedalboard([Mix([Chain([TubeScreamer()]), Pedalboard([BigMuff()])]), Mix([])]),
    ],
)
def test_boards_of_captures_qualify(make: Callable[[], Pedalboard]) -> None:
    assert isinstance(native_plan(opened(make()), SPEC), Plan)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Pedalboard([Louder()]), "slot 1 is the Python processor Louder"),
        (lambda: Inverted([TubeScreamer()]), "the board is the Python processor Inverted"),
        (lambda: Pedalboard([TubeScreamer(), Inverted()]), "slot 2 is the Python processor Inverted"),
        (lambda: Pedalboard([TubeScreamer(), pedalboard.Gain(3)]), "slot 2 is a pedalboard Gain"),
        (lambda: Pedalboard([Chain([pedalboard.Reverb()])]), "slot 1 is a pedalboard Reverb"),
        (lambda: Pedalboard([TubeScreamer(oversample=2)]), "slot 1 is oversampled"),
    ],
)
def test_other_boards_have_a_reason(make: Callable[[], Pedalboard], reason: str) -> None:
    assert native_plan(opened(make()), SPEC) == reason


def test_a_stream_at_another_rate_has_a_reason() -> None:
    spec = Spec(44100, 1, 64)
    plan = native_plan(opened(Pedalboard([TubeScreamer()]), spec), spec)
    assert plan == "slot 1 runs at 48000 Hz and the stream at 44100 Hz"


def test_an_installation_without_the_loop_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_loop.cpu, "core", None)
    assert native_plan(opened(Pedalboard()), SPEC) == "the compiled engine of this installation has no native loop"
    assert not prepare_for_loop(Pedalboard([Convolution(noise(99), sample_rate=48000)]), SPEC)


def test_convolutions_are_compiled_only_where_that_makes_a_board_native() -> None:
    def cabinet() -> Convolution:
        return Convolution(noise(99), sample_rate=48000)

    board = Pedalboard([TubeScreamer(), Chain([cabinet()])])
    assert prepare_for_loop(board, SPEC)
    assert isinstance(native_plan(opened(board), SPEC), Plan)
    other = Pedalboard([pedalboard.Chorus(), cabinet()])
    assert not prepare_for_loop(other, SPEC)
    assert native_plan(opened(other), SPEC) == "slot 1 is a pedalboard Chorus"
    assert not prepare_for_loop(Pedalboard([TubeScreamer()]), SPEC)


def test_a_plan_that_has_not_played_leaves_the_board_as_it_was() -> None:
    """In the middle of moves, and with changes that have not been heard yet."""
    board, same = (opened(Pedalboard([TubeScreamer(drive=0.2)], mix=0.6)) for _ in range(2))
    for changed in (board, same):
        pedal = changed[0]
        assert isinstance(pedal, NeuralProcessor)
        list(changed.push(noise(128, 2)))
        changed.mix = 0.1
        pedal.set_parameter("input_gain_db", -7.3)
        list(changed.push(noise(100, 2, 1)))
        pedal.set_parameter("drive", 0.9)
    plan = native_plan(board, SPEC)
    assert isinstance(plan, Plan)
    plan.restore()
    for seed in range(12):
        block = noise(128, 2, seed)
        np.testing.assert_array_equal(next(board.push(block)), next(same.push(block)))
    assert settled(board)
