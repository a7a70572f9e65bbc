"""Numbers that cannot be used are refused at every door, with a sentence that says what was found."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neural_fx
from instruments import DDSP
from neural_fx.errors import NeuralFXError, ParameterError
from neural_fx.parameters import Parameter
from neural_fx.pedals import PEDALS, make_pedal
from neural_fx.render import Output
from neural_fx.slots import apply_settings, set_parameter
from neural_fx.timbre import TimbreTransfer
from neural_fx.values import between, finite_number, shown, suggestion, whole_number

SHARE = Parameter("drive", 0, 1, 0.5)
GAIN = Parameter("gain_db", -60, 60, 0, "dB")

GOOD = [
    (0.5, 0.5),
    (1, 1.0),
    (np.float32(0.25), 0.25),
    (np.int64(1), 1.0),
    (np.array(0.25), 0.25),
    (Decimal("0.25"), 0.25),
    (Fraction(1, 4), 0.25),
    (" 0.25 ", 0.25),
    ("1e-1", 0.1),
    (".5", 0.5),
]
BAD = [
    math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf"), np.array(math.nan), "nan", "inf", "-Infinity",
    "1e999", "", " ", "loud", "0x10", None, [0.5], (0.5,), {}, {"a": 1}, np.array([0.5]), np.zeros((1, 1)), 1j,
    np.complex64(1), Decimal("nan"), Decimal("sNaN"), Decimal("1e999"), 10**400, -(10**400), 10**5000, b"0.5", object(),
    np.longdouble("1e4000"), 1e30, -1e30, "1e30",
]  # fmt: skip


@pytest.mark.parametrize(("value", "number"), GOOD, ids=lambda value: f"{type(value).__name__}-{value}")
def test_numbers_of_every_kind_are_numbers(value: object, number: float) -> None:
    assert SHARE.check(value) == number
    assert GAIN.check(value) == number
    assert type(GAIN.check(value)) is float


@pytest.mark.parametrize("value", BAD, ids=shown)
def test_anything_else_is_refused_in_one_line(value: object) -> None:
    for parameter in (SHARE, GAIN):
        with pytest.raises(ParameterError) as refused:
            parameter.check(value)
        message = str(refused.value)
        assert message.startswith(f"{parameter.name}: ")
        assert len(message) < 200
        assert "\n" not in message


def test_booleans_and_words_switch_what_goes_from_0_to_1() -> None:
    for word, number in {"on": 1, "Yes": 1, "TRUE": 1, "off": 0, "no": 0, "false": 0, True: 1, False: 0}.items():
        assert SHARE.check(word) == number
        with pytest.raises(ParameterError, match="gain_db: expected a number"):
            GAIN.check(word)
    assert SHARE.check(np.True_) == 1
    assert SHARE.check(np.array(False)) == 0


@given(st.one_of(st.text(), st.floats(), st.integers(), st.complex_numbers(), st.binary(), st.decimals(), st.none()))
def test_any_value_gives_a_number_in_range_or_a_parameter_error(value: object) -> None:
    try:
        assert -60 <= GAIN.check(value) <= 60
    except ParameterError as error:
        assert "\n" not in str(error)


def test_whole_numbers_and_shares() -> None:
    assert whole_number(512.0, "buffer_size") == 512
    for bad in (0, 0.5, 2.5, math.nan, "512", True, None):
        with pytest.raises(ParameterError, match="buffer_size"):
            whole_number(bad, "buffer_size")
    assert between(-0.1, 0.3, 1) == 0.3
    assert between(3.0, -1.0, 0.25) == 2.0
    with pytest.raises(TypeError):
        finite_number("1", "sample_rate", text=False)


def test_the_nearest_name_is_suggested() -> None:
    assert suggestion("Drvie", ["drive", "tone"]) == " (did you mean 'drive'?)"
    assert suggestion("xyz", ["drive", "tone"]) == ""
    assert suggestion("x" * 100000, ["drive"]) == ""


# -- doors ---------------------------------------------------------------------------------------------------------

Door = Callable[[object], object]


def _attribute(target: object, name: str) -> Door:
    return lambda value: setattr(target, name, value)


def _board_file(folder: Path, plugin: str, name: str) -> Door:
    def load(value: object) -> object:
        text = f"slots:\n- {plugin}\n  set: {{{name}: {_yaml(value)}}}\n"
        (folder / "board.yaml").write_text(text)
        return neural_fx.Pedalboard.from_file(folder / "board.yaml")

    return load


def _yaml(value: object) -> str:
    special = {"nan": ".nan", "inf": ".inf", "-inf": "-.inf", "None": "", "1e+30": "1e30"}
    return special.get(str(value), str(value))


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Door]:
    folder = tmp_path_factory.mktemp("doors")
    pedal, board, delay = make_pedal("tube-screamer"), neural_fx.Pedalboard([pedalboard.Delay()]), pedalboard.Delay()
    instrument, timbre = DDSP("violin"), TimbreTransfer("violin")
    return {
        "attribute of a pedal": _attribute(pedal, "drive"),
        "set_parameter of a pedal": lambda value: pedal.set_parameter("drive", value),
        "keyword of a pedal": lambda value: PEDALS["tube-screamer"](drive=value),
        "interface_dbu": _attribute(pedal, "interface_dbu"),
        "oversample": lambda value: make_pedal("tube-screamer", oversample=value),  # type: ignore[arg-type]
        "mix of a board": _attribute(board, "mix"),
        "keyword of a board": lambda value: neural_fx.Pedalboard(mix=value),  # type: ignore[arg-type]
        "attribute of an instrument": _attribute(instrument, "bend_range"),
        "keyword of an instrument": lambda value: DDSP("violin", tuning=value),  # type: ignore[arg-type]
        "timbre knob": _attribute(timbre, "brightness"),
        "a native plugin": lambda value: set_parameter(delay, "feedback", value),
        "--set": lambda value: apply_settings(board, [f"delay.feedback={value}"]),
        "board file, pedal": _board_file(folder, "pedal: tube-screamer", "drive"),
        "board file, native": _board_file(folder, "plugin: Delay", "feedback"),
        "tail": lambda value: Output(tail_seconds=value),  # type: ignore[arg-type]
        "sample rate": lambda value: board.process(np.zeros(8, np.float32), _not_large(value)),
        "buffer size": lambda value: board.process(np.zeros(8, np.float32), 48000, _not_large(value)),
    }


def _not_large(value: object) -> Any:
    """1e30 is a sample rate and a buffer size, if not a sensible one."""
    return -1 if value == 1e30 else value


DOORS = [
    "attribute of a pedal", "set_parameter of a pedal", "keyword of a pedal", "interface_dbu", "oversample",
    "mix of a board", "keyword of a board", "attribute of an instrument", "keyword of an instrument", "timbre knob",
    "a native plugin", "--set", "board file, pedal", "board file, native", "tail", "sample rate", "buffer size",
]  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_a_bad_value_in(doors: dict[str, Door], door: str) -> None:
    assert set(DOORS) == set(doors)
    for value in (math.nan, math.inf, -math.inf, "nan", "inf", 1e30, None, [1], "loud"):
        with pytest.raises(NeuralFXError) as refused:
            doors[door](value)
        assert "\n" not in str(refused.value)
