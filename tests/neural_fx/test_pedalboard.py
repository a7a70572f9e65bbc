"""`Pedalboard` is used exactly as Spotify's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest
import soundfile
from pedalboard.io import AudioFile

import neural_fx
from neural_fx.formats import parse
from neural_fx.native_runs import NativeRun
from neural_fx.neural import NeuralProcessor
from neural_fx.pedalboard import as_stages
from neural_fx.pedals import PEDALS, KlonGainStage
from tests.conftest import noise, wavenet_document
from tests.neural_fx.test_processor import Late, Twice


def neural(seed: int = 0) -> NeuralProcessor:
    return NeuralProcessor(parse(json.dumps(wavenet_document(seed)).encode()))


NATIVE = {
    "one": lambda: [pedalboard.Reverb()],
    "many": lambda: [pedalboard.Compressor(-20, 4), pedalboard.Chorus(), pedalboard.Delay(0.05), pedalboard.Reverb()],
    "nested": lambda: [pedalboard.Mix([pedalboard.Gain(-6), pedalboard.Chain([pedalboard.Delay(0.01)])])],
    "none": list,
}


@pytest.mark.parametrize("name", list(NATIVE))
def test_native_boards_equal_the_native_engine(name: str) -> None:
    x = noise(30000, 2)
    theirs = pedalboard.Pedalboard(NATIVE[name]())(x, 48000)
    np.testing.assert_allclose(neural_fx.Pedalboard(NATIVE[name]())(x, 48000), theirs, atol=1e-6)


def test_native_plugins_keep_their_state_when_blocks_grow() -> None:
    """Spotify's own board loses it (measured): the reverb starts anew at the first larger block."""
    x = noise(6000)
    board = neural_fx.Pedalboard([pedalboard.Reverb(), pedalboard.Delay(0.01)])
    whole = board(x, 48000)
    cuts = np.split(x, [10, 1010, 1013])
    streamed = np.concatenate([board.process(c, 48000, reset=False) for c in cuts])
    np.testing.assert_allclose(streamed, whole, atol=1e-6)


def test_runs_of_native_plugins_go_to_the_native_engine_together() -> None:
    gains = [pedalboard.Gain(1) for _ in range(5)]
    stages = as_stages([gains[0], gains[1], neural(), gains[2], Twice(), gains[3], gains[4]])
    assert [len(s._board) if isinstance(s, NativeRun) else None for s in stages] == [2, None, 1, None, 2]


def test_order_and_sum() -> None:
    x = noise(5000)
    chain = neural_fx.Pedalboard([neural(), pedalboard.Gain(6), Twice(gain=0.5)])
    np.testing.assert_allclose(chain(x, 48000), neural()(x, 48000) * 10 ** (6 / 20) * 0.5, rtol=1e-4, atol=1e-6)
    mix = neural_fx.Mix([neural(), neural_fx.Chain([pedalboard.Gain(-6)]), Late()])
    expected = neural()(x, 48000) + x * np.float32(10 ** (-6 / 20)) + x
    np.testing.assert_allclose(mix(x, 48000), expected, atol=1e-6)


def test_branches_stay_aligned_at_a_foreign_rate() -> None:
    """Dry and a resampled wire cancel: alignment is to a fraction of a sample."""
    wire = {"version": "0.5.4", "architecture": "Linear", "config": {"receptive_field": 1, "bias": False},
            "weights": [-1.0], "sample_rate": 48000}  # fmt: skip
    inverted = NeuralProcessor(parse(json.dumps(wire).encode()))
    t = np.arange(44100) / 44100
    x = (np.sin(2 * np.pi * 3000 * t) * np.hanning(len(t))).astype(np.float32)
    assert np.abs(neural_fx.Mix([neural_fx.Chain(), inverted])(x, 44100)).max() < 1e-4


def test_mix_knob_of_a_board() -> None:
    x = noise(4000)
    board = neural_fx.Pedalboard([neural(), Late()], mix=0)
    np.testing.assert_allclose(board(x, 44100), x, atol=1e-7)
    wet = neural_fx.Pedalboard([neural(), Late()])(x, 44100)
    board.mix = 0.25
    np.testing.assert_allclose(board(x, 44100), 0.75 * x + 0.25 * wet, atol=1e-6)
    with pytest.raises(ValueError, match="mix"):
        board.mix = 1.5


def test_list_operations() -> None:
    a, b, c = pedalboard.Gain(1), neural(), Twice()
    board = neural_fx.Pedalboard([a])
    board.append(b)
    board.insert(0, c)
    assert list(board) == [c, a, b]
    assert (len(board), b in board, board.index(a), board[-1]) == (3, True, 1, b)
    board[0] = pedalboard.Reverb()
    del board[1]
    assert [type(p).__name__ for p in board] == ["Reverb", "NeuralProcessor"]
    board.remove(b)
    assert board.pop() is not None
    board.extend([a, b])
    board += [c]
    assert board[:2] == [a, b]
    board.reverse()
    board.clear()
    assert len(board) == 0
    assert board
    np.testing.assert_array_equal(board(noise(10), 48000), noise(10))


def test_changes_of_the_list_take_effect_while_streaming() -> None:
    board = neural_fx.Pedalboard([pedalboard.Gain(0)])
    board.process(np.ones(100, np.float32), 48000, reset=False)
    board.append(Twice())
    np.testing.assert_allclose(board.process(np.ones(100, np.float32), 48000, reset=False), 2)


def test_native_parameters_move_live() -> None:
    gain = pedalboard.Gain(0)
    board = neural_fx.Pedalboard([gain, Twice(gain=1)])
    board.process(np.ones(4800, np.float32), 48000, reset=False)
    gain.gain_db = 20
    assert board.process(np.ones(9600, np.float32), 48000, reset=False)[-1] == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize("wrong", [3, "amp.nam", None, object(), np.zeros(3)])
def test_only_plugins_are_taken(wrong: Any) -> None:
    with pytest.raises(TypeError, match="takes neural_fx processors and pedalboard plugins"):
        neural_fx.Pedalboard([wrong])
    with pytest.raises(TypeError):
        neural_fx.Pedalboard().append(wrong)


def test_a_board_cannot_contain_itself() -> None:
    board = neural_fx.Pedalboard()
    with pytest.raises(ValueError, match="contain itself"):
        board.append(board)


def test_the_audio_file_loop(tmp_path: Path) -> None:
    """The loop in pedalboard's own documentation, with `flush` for what is still inside at the end."""
    x = noise(50000, 2)
    soundfile.write(tmp_path / "in.wav", x.T, 44100, subtype="FLOAT")
    board = neural_fx.Pedalboard([pedalboard.Compressor(), neural(), pedalboard.Reverb()])
    with (
        AudioFile(str(tmp_path / "in.wav")) as f,
        AudioFile(str(tmp_path / "out.wav"), "w", f.samplerate, 2, bit_depth=32) as o,
    ):
        while f.tell() < f.frames:
            o.write(board(f.read(f.samplerate // 7), f.samplerate, reset=False))
        o.write(board.flush())
    rendered = soundfile.read(tmp_path / "out.wav", dtype="float32")[0].T
    np.testing.assert_allclose(rendered, board(x, 44100), atol=1e-5)


def test_bundled_pedals_play_and_tell_their_origin() -> None:
    for name, kind in PEDALS.items():
        pedal, card = kind(), kind.card()
        assert card["slug"] == name
        assert card["esr"]["value"] < 0.05
        assert card["knobs"] == [knob for knob in pedal.parameters if not knob.endswith("_gain_db")]
        y = neural_fx.Pedalboard([pedal])(noise(4800), 48000)
        assert 0.01 < np.abs(y).max() < 4


def test_the_bundled_pedal_is_as_good_as_its_card_says(shared: Path) -> None:
    """On the held-out tenth of the data it was trained with, from the file that ships."""
    from neural_fx.training.pairs import Mask, load_pair

    folder = shared / "audio" / "pairs" / "klon-gain-stage"
    pair = load_pair(folder / "dry.flac", folder / "wet-gain050.flac", 48000, Mask(0.5, 0.3), latency=0)
    held_out = pair.split()[1]
    y = KlonGainStage()(held_out.dry, 48000)
    error = np.sum((held_out.wet - y)[held_out.usable].astype(np.float64) ** 2)
    found = error / np.sum(held_out.wet[held_out.usable].astype(np.float64) ** 2)
    assert found == pytest.approx(KlonGainStage.card()["esr"]["validation"], rel=0.02)
    assert found < 0.006
