"""Board files: what they can name, the round trip, and errors with line and field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pedalboard
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import neural_fx
from neural_fx.errors import BoardError, NeuralFXError, ParameterError
from neural_fx.slots import apply_settings, slot_names
from tests.conftest import noise, wavenet_document

EVERYTHING = """\
board: 1
name: Lead
mix: 0.9
slots:
  - pedal: klon-gain-stage
    oversample: 2
    set: {output_gain_db: -3}
  - model: model.nam
    level: normalized
    oversample: 4
    name: amp
    set:
      input_gain_db: 6
  - ir: cab.wav
    mix: 0.8
  - plugin: LadderFilter
    set: {mode: HPF24, cutoff_hz: 90}
  - plugin: Reverb
    name: room
    set: {room_size: 0.25}
  - parallel:
      - plugin: Gain
        set: {gain_db: -6}
      - chain:
          - plugin: Delay
            set: {delay_seconds: 0.01, mix: 1}
          - plugin: Invert
"""


@pytest.fixture
def folder(tmp_path: Path, write: Callable[..., Path]) -> Path:
    write(wavenet_document())
    soundfile.write(tmp_path / "cab.wav", noise(400) * np.exp(-np.arange(400) / 50), 48000)
    (tmp_path / "board.yaml").write_text(EVERYTHING)
    return tmp_path


def test_everything_a_board_can_name(folder: Path) -> None:
    board = neural_fx.Pedalboard.from_file(folder / "board.yaml")
    assert slot_names(board) == ["klon-gain-stage", "amp", "convolution", "ladder-filter", "room", "mix"]
    assert (board.name, board.mix) == ("Lead", pytest.approx(0.9))
    assert [plugin.oversample for plugin in board[:2]] == [2, 4]
    amp = board[1]
    assert (amp.input_gain_db, amp.level) == (6, "normalized")
    assert board[3].mode == pedalboard.LadderFilter.Mode.HPF24
    assert board[4].room_size == pytest.approx(0.25)
    assert np.isfinite(board(noise(5000, 2), 44100)).all()


def test_round_trip(folder: Path) -> None:
    x = noise(20000)
    board = neural_fx.Pedalboard.from_file(folder / "board.yaml")
    (folder / "elsewhere").mkdir()
    board.save(folder / "elsewhere" / "again.yaml")
    again = neural_fx.Pedalboard.from_file(folder / "elsewhere" / "again.yaml")
    assert slot_names(again) == slot_names(board)
    np.testing.assert_allclose(again(x, 48000), board(x, 48000), atol=1e-6)
    again.save(folder / "elsewhere" / "third.yaml")
    texts = [(folder / "elsewhere" / f"{n}.yaml").read_text() for n in ("again", "third")]
    assert texts[0] == texts[1]
    assert "model: ../model.nam" in texts[0]


def test_saving_does_not_overwrite_unless_told(folder: Path) -> None:
    board = neural_fx.Pedalboard([pedalboard.Gain(3)])
    with pytest.raises(BoardError, match="exists already"):
        board.save(folder / "board.yaml")
    board.save(folder / "board.yaml", overwrite=True)
    assert neural_fx.Pedalboard.from_file(folder / "board.yaml")[0].gain_db == 3


def test_what_cannot_be_saved_says_so(folder: Path) -> None:
    class Own(neural_fx.Processor):
        def process_block(self, block: np.ndarray) -> np.ndarray:
            return block

    with pytest.raises(BoardError, match="Own"):
        neural_fx.Pedalboard([Own()]).save(folder / "own.yaml")
    assert not (folder / "own.yaml").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mix: 0.9", "mix: 2", ["line 3", "mix", "less than or equal to 1"]),
        ("mix: 0.9", "mixx: 1", ["line 3", "mixx", "known fields: board, name, mix, slots"]),
        ("board: 1", "board: 7", ["line 1", "board"]),
        ("pedal: klon-gain-stage", "pedal: klon-gain-stag", ["line 5", "slots[0].pedal", "mean klon-gain-stage"]),
        ("{output_gain_db: -3}", "{drive: 1}", ["line 7", "slots[0].set.drive", "it has: input_gain_db"]),
        ("model: model.nam", "model: gone.nam", ["line 8", "slots[1].model", "gone.nam", "No such file"]),
        ("level: normalized", "level: loud", ["line 9", "slots[1].level", "'raw', 'normalized' or 'calibrated'"]),
        ("input_gain_db: 6", "input_gain_db: 600", ["line 13", "slots[1].set.input_gain_db", "outside its range"]),
        ("ir: cab.wav", "ir: cab.mp3", ["line 14", "slots[2].ir", "no such file"]),
        ("plugin: LadderFilter", "plugin: Ladder", ["line 16", "slots[3].plugin", "known: Bitcrush"]),
        ("mode: HPF24", "mode: HPF25", ["line 17", "slots[3].set", "HPF12"]),
        ("cutoff_hz: 90", "cutoff: 90", ["line 17", "slots[3].set.cutoff", "did you mean 'cutoff_hz'"]),
        ("name: room", "name: amp", ["line 19", "slots[4].name", "already"]),
        ("name: room", "name: a/b", ["line 19", "slots[4].name"]),
        ("name: room", "nme: room", ["line 19", "slots[4].nme", "known fields: name, set, plugin"]),
        ("      - plugin: Gain", "      - plug: Gain", ["line 22", "slots[5].parallel[0]", "one of: pedal, model"]),
        ("          - plugin: Invert", "          - Invert", ["line 27", "slots[5].parallel[1].chain[1]"]),
        ("name: Lead", "name: [", ["line", "not valid YAML"]),
        ("name: Lead", "mix: 0.1", ["line 3", "duplicate key 'mix' (first on line 2)"]),
        ("name: Lead", "name: *other", ["alias"]),
        ("slots:", "slots: 3\nx:", ["line 4", "slots", "list"]),
    ],
)  # fmt: skip
def test_errors_give_line_and_field(folder: Path, old: str, new: str, words: list[str]) -> None:
    assert EVERYTHING.count(old) == 1
    (folder / "bad.yaml").write_text(EVERYTHING.replace(old, new))
    with pytest.raises(BoardError) as caught:
        neural_fx.Pedalboard.from_file(folder / "bad.yaml")
    message = str(caught.value)
    assert "\n" not in message
    for word in ["bad.yaml", *words]:
        assert word in message


@pytest.mark.parametrize(
    "text", ["", "3", "- a", "slots: []\nslots: []", "a: " * 500, "[" * 2000, "\x00", "!!python/object:os.system {}"]
)
def test_what_is_not_a_board(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.yaml").write_text(text)
    with pytest.raises(BoardError, match=r"b\.yaml"):
        neural_fx.Pedalboard.from_file(tmp_path / "b.yaml")


def test_an_absent_board(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="cannot be read"):
        neural_fx.Pedalboard.from_file(tmp_path / "none.yaml")


@given(st.text(max_size=60), st.integers(0, len(EVERYTHING) - 1))
def test_fuzz(tmp_path_factory: pytest.TempPathFactory, text: str, at: int) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "b.yaml"
    path.write_text(EVERYTHING[:at] + text + EVERYTHING[at:], encoding="utf-8")
    try:
        neural_fx.Pedalboard.from_file(path)
    except BoardError as error:
        assert "\n" not in str(error)


def test_settings_from_the_command_line(folder: Path) -> None:
    board = neural_fx.Pedalboard.from_file(folder / "board.yaml")
    apply_settings(board, ["amp.input_gain_db=-3", "5.room_size=0.5", "ladder-filter.mode=LPF12"])
    assert board[1].input_gain_db == -3
    assert board[4].room_size == pytest.approx(0.5)
    assert board[3].mode == pedalboard.LadderFilter.Mode.LPF12
    for bad, words in {
        "amp": "expected SLOT.PARAM=VALUE",
        "input_gain_db=3": "name a slot",
        "bass.x=1": "no slot 'bass'; the board has: 1 klon-gain-stage, 2 amp",
        "amp.treble=1": "it has: input_gain_db",
        "room.wet_levl=1": "did you mean 'wet_level'",
        "amp.input_gain_db=loud": "expected a number",
        "room.room_size=big": "room_size",
    }.items():
        with pytest.raises(ParameterError, match=words):
            apply_settings(board, [bad])
    single = neural_fx.Pedalboard([pedalboard.Gain(0)])
    apply_settings(single, ["gain_db=3"])
    assert single[0].gain_db == 3


def test_errors_share_a_base() -> None:
    assert issubclass(BoardError, NeuralFXError)
    assert issubclass(BoardError, ValueError)
