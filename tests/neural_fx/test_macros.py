"""Macros: knobs of a whole board, in Python, in board files, and as the worker hosts them."""

from __future__ import annotations

from pathlib import Path

import pedalboard
import pytest

import neural_fx
from bridge.host import BoardHost, Hosted, board_from
from neural_fx.errors import BoardError, ParameterError
from neural_fx.macros import MOST_MACROS, Macro, Target, default_macros
from neural_fx.parameters import Parameter
from neural_fx.pedals import TubeScreamer

TABLE = {
    "mix": Parameter("mix", 0, 1, 1),
    "amp/drive": Parameter("drive", 0, 10, 5),
    "amp/bypass": Parameter("bypass", 0, 1, 0),
    "amp/level_db": Parameter("level_db", -20, 20, 0, "dB"),
    "cab/level_db": Parameter("level_db", -20, 20, 0, "dB"),
    "reverb/room": None,
}
BOARD = """\
slots:
- pedal: tube-screamer
- plugin: Reverb
macros:
- {name: Drive, to: tube-screamer/drive, min: 0.2, max: 0.8}
- name: Space
  to: [{parameter: reverb/wet_level, min: 0, max: 0.5}, {parameter: mix, min: 1, max: 0.6}]
"""


def board_file(folder: Path, text: str = BOARD) -> Path:
    path = folder / "board.yaml"
    path.write_text(text)
    return path


def test_a_macro_spans_the_range_it_was_given() -> None:
    macro = Macro("Gain", (Target("amp/drive", 2, 8), Target("amp/level_db", 0, -12)))
    assert macro.values(TABLE, 0.0) == {"amp/drive": 2, "amp/level_db": 0}
    assert macro.values(TABLE, 0.5) == {"amp/drive": 5, "amp/level_db": -6}
    assert macro.position(TABLE, {"amp/drive": 6.5}.__getitem__) == pytest.approx(0.75)
    assert macro.position(TABLE, {"amp/drive": 0.0}.__getitem__) == 0
    assert macro.unit(TABLE) == (2, 8, "")
    assert Macro("Level", (Target("amp/level_db"),)).unit(TABLE) == (-20, 20, "dB")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Target("amp/tone"), "nothing at 'amp/tone'; there is: mix, amp/drive"),
        (Target("reverb/room"), "state min and max"),
        (Target("amp/drive", 0, 11), "outside its range 0 to 10"),
    ],
)
def test_what_a_macro_cannot_turn(target: Target, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Macro("It", (target,)).values(TABLE, 0.5)


def test_default_macros_are_the_first_parameters_of_known_range() -> None:
    found = default_macros(TABLE)
    assert [(m.name, m.targets[0].address) for m in found] == [
        ("Drive", "amp/drive"),
        ("Amp level db", "amp/level_db"),
        ("Cab level db", "cab/level_db"),
    ]
    gains = {f"amp/{n}": Parameter(n, -60, 60, 0, "dB") for n in ("input_gain_db", "output_gain_db")}
    assert [m.name for m in default_macros(gains | TABLE)][:3] == ["Drive", "Amp level db", "Cab level db"]
    many = {f"a/{i}": Parameter(str(i), 0, 1, 0) for i in range(20)}
    assert len(default_macros(many)) == MOST_MACROS


def test_macros_in_a_board_file_come_back(tmp_path: Path) -> None:
    board = neural_fx.Pedalboard.from_file(board_file(tmp_path))
    assert [macro.name for macro in board.macros] == ["Drive", "Space"]
    board.save(tmp_path / "again.yaml")
    assert neural_fx.Pedalboard.from_file(tmp_path / "again.yaml").macros == board.macros


@pytest.mark.parametrize(
    ("macro", "said"),
    [
        ("{name: It, to: tube-screamer/volume}", r"macros\[0\].to: nothing at 'tube-screamer/volume'"),
        ("{name: It, to: reverb/wet_level, max: 2}", "outside its range 0 to 1"),
        ("{name: It, to: tube-screamer/drive, min: -1}", "outside its range"),
        ("{name: It}", r"macros\[0\].to: field required"),
        ("{name: It, to: mix, turn: 1}", "known fields: name, to, min, max"),
    ],
)
def test_a_wrong_macro_names_line_and_field(tmp_path: Path, macro: str, said: str) -> None:
    text = f"slots:\n- pedal: tube-screamer\n- plugin: Reverb\nmacros:\n- {macro}\n"
    with pytest.raises(BoardError, match=f"line 5: .*{said}"):
        neural_fx.Pedalboard.from_file(board_file(tmp_path, text))


def test_macro_is_no_name_for_a_slot_and_eight_are_the_most(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="choose another name"):
        neural_fx.Pedalboard.from_file(board_file(tmp_path, "slots:\n- {plugin: Gain, name: macro}\n"))
    nine = "slots: []\nmacros:\n" + 9 * "- {name: It, to: mix}\n"
    with pytest.raises(BoardError, match="at most 8"):
        neural_fx.Pedalboard.from_file(board_file(tmp_path, nine))


def test_a_hosted_macro_turns_and_is_told(tmp_path: Path) -> None:
    host = BoardHost("lead", board_from(board_file(tmp_path)))
    assert [host.table()[f"macro/{i}"].description for i in (1, 2)] == ["Drive", "Space"]
    host.set("macro/2", 0.5)
    assert host.value("reverb/wet_level") == pytest.approx(0.25)
    assert host.value("mix") == pytest.approx(0.8)
    assert {"macro/2", "reverb/wet_level", "mix"} <= host.changed
    host.set("tube-screamer/drive", 0.35)
    assert host.value("macro/1") == pytest.approx(0.25)
    with pytest.raises(ParameterError, match="outside its range"):
        host.set("macro/1", 1.5)


def test_boards_without_macros_have_default_ones() -> None:
    hosted = Hosted(neural_fx.Pedalboard([pedalboard.Gain(), TubeScreamer()]))
    assert [macro.name for macro in hosted.macros][:3] == ["Drive", "Tone", "Level"]
