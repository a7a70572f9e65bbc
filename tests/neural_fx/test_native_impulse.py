"""Compiled convolutions: pedalboard's, to rounding, at any rate, with any number of channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pedalboard
import pytest
import soundfile

from neural_fx.arrays import Audio
from neural_fx.engines import cpu
from neural_fx.impulse import Convolution
from neural_fx.native_impulse import LONGEST_SECONDS, CompiledConvolution, compile_convolutions
from neural_fx.pedalboard import Chain, Mix, Pedalboard
from neural_fx.processor import Spec
from tests.conftest import noise

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the compiled engine was not built (no compiler)")

SPEC = Spec(48000, 2, 256)


def response(channels: int, taps: int) -> Audio:
    fade = np.exp(-np.arange(taps, dtype=np.float32) / (taps / 6))
    return noise(taps, channels, taps) * fade


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("taps", [1, 30, 1023, 1024, 24000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_compiled_convolution_is_pedalboards_to_rounding(channels: int, taps: int, rate: int) -> None:
    made = Convolution(response(channels, taps), 0.7, rate)
    board = Pedalboard([made])
    wanted = Pedalboard([Convolution(response(channels, taps), 0.7, rate)])(noise(30000, 2), 48000)
    assert compile_convolutions(board, SPEC)
    assert isinstance(board[0], CompiledConvolution)
    heard = board(noise(30000, 2), 48000)
    np.testing.assert_allclose(heard, wanted, rtol=0, atol=2e-6 * np.abs(wanted).max())


def test_a_mono_stream_has_the_left_channel() -> None:
    def board() -> Pedalboard:
        return Pedalboard([Convolution(response(2, 2000), 1.0, 48000)])

    compiled = board()
    assert compile_convolutions(compiled, Spec(48000, 1, 64))
    wanted = board()(noise(9000), 48000)
    np.testing.assert_allclose(compiled(noise(9000), 48000), wanted, rtol=0, atol=2e-6 * np.abs(wanted).max())


def test_blocks_of_any_size_are_one_stream() -> None:
    board = Pedalboard([Convolution(response(2, 3000), 1.0, 48000)])
    compile_convolutions(board, SPEC)
    audio = noise(6000, 2)
    wanted = board(audio, 48000)
    cuts = np.cumsum([1, 7, 256, 999, 17, 2000])
    parts = [board(part, 48000, reset=False) for part in np.split(audio, cuts, 1)]
    np.testing.assert_allclose(np.concatenate(parts, 1), wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


def test_convolutions_are_found_at_any_depth_and_keep_their_names(tmp_path: Path) -> None:
    file = tmp_path / "hall.wav"
    soundfile.write(file, response(1, 500)[0], 48000)
    native = pedalboard.Convolution(str(file), 0.3)
    board = Pedalboard([Chain([Mix([native])]), Convolution(file)])
    board.name_slot(board[1], "hall")
    assert compile_convolutions(board, SPEC)
    assert isinstance(board[0][0][0], CompiledConvolution)  # type: ignore[index]
    assert board[0][0][0].mix == pytest.approx(0.3)  # type: ignore[index]
    assert board.given_name(board[1]) == "hall"
    assert native.mix == pytest.approx(0.3)


def test_what_cannot_be_measured_stays_as_it_is() -> None:
    array = pedalboard.Convolution(response(1, 500), 1.0, 48000)
    long = Convolution(response(1, int(8000 * LONGEST_SECONDS) + 1), 1.0, 8000)
    board = Pedalboard([array, long, pedalboard.Gain(3)])
    assert not compile_convolutions(board, SPEC)
    assert list(board) == [array, long, board[2]]


def test_a_compiled_convolution_has_the_channels_it_was_made_for() -> None:
    board = Pedalboard([Convolution(response(1, 500), 1.0, 48000)])
    compile_convolutions(board, SPEC)
    with pytest.raises(ValueError, match="expected 2 channels, found 1"):
        board(noise(100), 48000)
