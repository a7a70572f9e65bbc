"""The table of native plugins is complete, its limits give finite audio, and values outside are refused."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest
from numpy.typing import NDArray

import neural_fx
from neural_fx.boards import native_plugins
from neural_fx.errors import ParameterError
from neural_fx.macros import default_macros
from neural_fx.native_checks import NativeChecks
from neural_fx.native_ranges import NATIVE, native_choices, native_knobs, native_parameters, native_value, returned_type
from neural_fx.slots import parameter_table, parameter_values, set_parameter
from tests.conftest import noise

NUMBERS = [(name, parameter) for name in native_plugins() for parameter in NATIVE.get(name, ())]
SLOW = ("PitchShift", "Resample", "GSMFullRateCompressor")
"""Plugins whose limits take seconds to hear."""


def bursts(rate: int, channels: int, seconds: float = 0.3) -> NDArray[np.float32]:
    """Loud noise, silence, and noise again."""
    audio = 4 * noise(int(rate * seconds), channels)
    audio[:, audio.shape[1] // 2 : 3 * audio.shape[1] // 4] = 0
    return audio


def made(name: str, values: dict[str, Any]) -> pedalboard.Plugin:
    plugin: pedalboard.Plugin = native_plugins()[name]()
    for parameter, value in values.items():
        set_parameter(plugin, parameter, value)
    return plugin


def test_every_plugin_and_every_parameter_is_known() -> None:
    assert set(native_plugins()) | {"Convolution"} == set(NATIVE)
    for name, kind in native_plugins().items():
        numbers = {knob for knob in native_knobs(kind) if not native_choices(kind, knob)}
        assert numbers == set(native_parameters(kind)), name
    assert "_klass" not in native_plugins()


@pytest.mark.parametrize("name", [name for name in NATIVE if name != "Convolution"])
def test_defaults_are_pedalboards_own_and_a_board_shows_all_ranges(name: str) -> None:
    plugin = native_plugins()[name]()
    for parameter in NATIVE[name]:
        assert getattr(plugin, parameter.name) == pytest.approx(parameter.default)
        assert parameter.minimum <= parameter.default <= parameter.maximum
        assert parameter.description
    board = neural_fx.Pedalboard([plugin])
    shown = {address.rpartition("/")[2]: parameter for address, parameter in parameter_table(board).items()}
    for knob in native_knobs(plugin):
        assert (shown[knob] is None) == bool(native_choices(type(plugin), knob))
    assert default_macros(parameter_table(board)) == ()


@pytest.mark.parametrize("name", [name for name in NATIVE if name not in ("Convolution", *SLOW)])
def test_the_limits_together_give_finite_audio(name: str) -> None:
    """All combinations of least, default and most, or sixty of them, at low and high rates."""
    axes = [(p.minimum, p.default, p.maximum) for p in NATIVE[name]]
    combinations = list(itertools.product(*axes))
    chosen = np.random.default_rng(0).permutation(len(combinations))[:60]
    for at, rate in itertools.product(chosen, (8000, 48000)):
        values = dict(zip((p.name for p in NATIVE[name]), combinations[at], strict=True))
        if "true_peak" in values:
            values["true_peak"] = round(values["true_peak"])
        board = neural_fx.Pedalboard([made(name, values)])
        try:
            out = board(bursts(rate, 1 + at % 2, 0.1), rate, 512)
        except ParameterError as error:
            assert name.endswith("Filter"), values
            assert "sample rate" in str(error)
            continue
        assert np.isfinite(out).all(), (values, rate)


def test_resampled_plugins_give_finite_audio_at_their_limits() -> None:
    audio = bursts(8000, 2, 0.2)
    for rate, quality in itertools.product((10, 1e6), ("ZeroOrderHold", "WindowedSinc8")):
        out = neural_fx.Pedalboard([made("Resample", {"target_sample_rate": rate, "quality": quality})])(audio, 8000)
        assert np.isfinite(out).all()
    for semitones in (-24, 24):
        out = neural_fx.Pedalboard([made("PitchShift", {"semitones": semitones})])(audio, 8000)
        assert np.isfinite(out).all()
        assert out.shape == audio.shape


@pytest.mark.parametrize(("name", "parameter"), NUMBERS, ids=lambda value: getattr(value, "name", value))
def test_values_outside_are_refused_when_set_and_when_played(name: str, parameter: Any) -> None:
    plugin = native_plugins()[name]()
    board = neural_fx.Pedalboard([plugin])
    audio = noise(64)
    for bad in (math.nan, math.inf, -math.inf, "nan", 1e38, -1e38, 10**400, None, [1], 1j):
        with pytest.raises(ParameterError, match=parameter.name):
            set_parameter(plugin, parameter.name, bad)
    if returned_type(type(plugin), parameter.name) == "bool":
        return
    for bad in (math.nan, math.inf, 1e38, -1e38, 2 * parameter.maximum + 1):
        try:
            setattr(plugin, parameter.name, bad)
        except (ValueError, TypeError):
            continue  # pedalboard refuses it itself
        for reset in (True, False):
            with pytest.raises(ParameterError, match=rf"{name}\.{parameter.name}: .* outside its range"):
                board.process(audio, 48000, reset=reset)
    setattr(plugin, parameter.name, parameter.default)
    assert np.isfinite(board(audio, 48000)).all()


def test_a_value_that_turns_bad_in_a_stream_is_refused_at_the_next_block() -> None:
    delay = pedalboard.Delay(0.001, 0.5, 0.5)
    inside = pedalboard.Mix([pedalboard.Gain(0), pedalboard.Chain([delay])])
    for board in (neural_fx.Pedalboard([delay]), neural_fx.Pedalboard([inside]), neural_fx.Mix([delay])):
        audio = noise(256)
        assert np.isfinite(board.process(audio, 48000, reset=False)).all()
        delay.feedback = math.nan
        with pytest.raises(ParameterError, match=r"Delay\.feedback: nan is outside its range 0 to 1"):
            board.process(audio, 48000, reset=False)
        delay.feedback = 0.5
        assert np.isfinite(board.process(audio, 48000, reset=False)).all()


def test_cutoffs_must_suit_the_sample_rate() -> None:
    board = neural_fx.Pedalboard([pedalboard.LowpassFilter(30000)])
    with pytest.raises(ParameterError, match=r"30000 Hz is above half the sample rate \(24000 Hz\)"):
        board(noise(64), 48000)
    assert np.isfinite(board(noise(64), 96000)).all()
    low = neural_fx.Pedalboard([pedalboard.LowShelfFilter(5, 60, 2)])  # NaN after some seconds, measured
    with pytest.raises(ParameterError, match=r"LowShelfFilter: a band of 60 dB .* too extreme"):
        low(noise(64), 48000)
    for kind, rate in itertools.product(
        (pedalboard.LowShelfFilter, pedalboard.HighShelfFilter, pedalboard.PeakFilter), (44100, 96000)
    ):
        for cutoff, gain in itertools.product((30, 1000, 18000), (-24, 24)):
            NativeChecks([kind(cutoff, gain, 0.7)], rate)()  # what people use


def test_what_the_audio_was_before_a_check_it_is_after() -> None:
    plugins = [pedalboard.Chorus(feedback=-1), pedalboard.Reverb(), pedalboard.LowpassFilter(8000)]
    audio = noise(3000, 2)
    np.testing.assert_array_equal(
        neural_fx.Pedalboard(plugins)(audio, 44100), pedalboard.Pedalboard(plugins)(audio, 44100)
    )


@pytest.mark.parametrize("name", list(native_plugins()))
def test_a_saved_plugin_comes_back(name: str, tmp_path: Path) -> None:
    kind = native_plugins()[name]
    values: dict[str, Any] = {p.name: p.maximum for p in NATIVE[name]}
    values |= {k: list(native_choices(kind, k))[-1] for k in native_knobs(kind) if native_choices(kind, k)}
    board = neural_fx.Pedalboard([made(name, values)])
    board.save(tmp_path / "board.yaml")
    again = neural_fx.Pedalboard.from_file(tmp_path / "board.yaml")
    assert parameter_values(again[0]) == parameter_values(board[0])


def test_choices_are_set_by_name() -> None:
    resample = pedalboard.Resample()
    set_parameter(resample, "quality", "windowedsinc16")
    assert resample.quality.name == "WindowedSinc16"
    set_parameter(resample, "quality", pedalboard.Resample.Quality.Linear)
    assert resample.quality.name == "Linear"
    for bad in ("Linaer", 3, None, math.nan, "1"):
        with pytest.raises(ParameterError, match="quality: expected one of ZeroOrderHold, Linear"):
            set_parameter(resample, "quality", bad)
    with pytest.raises(ParameterError, match="did you mean 'Linear'"):
        set_parameter(resample, "quality", "Linaer")
    limiter = pedalboard.BrickwallLimiter()
    for word, state in {"on": True, "off": False, "1": True, 0: False}.items():
        set_parameter(limiter, "true_peak", word)
        assert limiter.true_peak is state


def test_a_plugin_that_the_table_does_not_know_takes_finite_numbers() -> None:
    class Newer:
        @property
        def warmth(self) -> float:
            return 0.5

    kind: Any = Newer
    assert native_value(kind, "warmth", "0.5") == 0.5
    for bad in (math.nan, "inf", 1e39, None):
        with pytest.raises(ParameterError, match="warmth"):
            native_value(kind, "warmth", bad)


CRASHED = """
import math, numpy, pedalboard, neural_fx
kind, name, value = {!r}
plugin = getattr(pedalboard, kind)()
setattr(plugin, name, value)
try:
    neural_fx.Pedalboard([plugin])(numpy.zeros((2, 4800), numpy.float32) + 0.1, 48000)
except neural_fx.ParameterError as error:
    print(error)
"""


def test_what_crashed_or_hung_pedalboard_is_refused_in_time() -> None:
    """In a process of its own, as a failure of this test would take the others with it."""
    cases = [("MP3Compressor", "vbr_quality", math.nan), ("Phaser", "rate_hz", 1e38)]
    for case in cases:
        script = CRASHED.format(case).replace("nan", "math.nan")
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert f"{case[0]}.{case[1]}: " in done.stdout
