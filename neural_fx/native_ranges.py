"""List the ranges of the parameters of pedalboard's own plugins.

pedalboard checks some values itself. Others make its code crash, hang or return NaN. It documents no ranges.

The ranges here were measured with 0.9.26: every plugin with a grid of values from -1e38 to 1e38, at 8 to 192 kHz, in
mono and stereo. Within them the output stays finite and the values make sense. Parameters of newer versions that are
not in the table must still be finite numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pedalboard

from neural_fx.errors import ParameterError
from neural_fx.parameters import Parameter
from neural_fx.values import finite_number, is_finite_number, shown, suggestion, switch

_NOT_KNOBS = ("is_effect", "is_instrument", "impulse_response", "impulse_response_filename")
FLOAT_EPSILON = float(np.finfo(np.float32).eps)
FLOAT_MAX = float(np.finfo(np.float32).max)

Plugin: TypeAlias = pedalboard.Plugin


class NativeParameter(Parameter):
    """A parameter of a native plugin. It is not among the default macros of a board.

    Changes act at once, or the plugin smooths them itself.
    """

    def check(self, value: object) -> float:
        """Convert a value to a float, and check that it is in the range.

        A limit may be rounded to 32 bits, because plugins keep such numbers.

        Raises:
            ParameterError: not a finite number, or outside the range.
        """
        if is_finite_number(value):
            number = finite_number(value, self.name)
            for limit in (self.minimum, self.maximum):
                if math.isclose(number, limit, rel_tol=FLOAT_EPSILON):
                    return limit
        return super().check(value)


def _share(name: str, default: float, description: str) -> NativeParameter:
    return NativeParameter(name, 0, 1, default, "", 0, description)


def _hz(name: str, least: float, most: float, default: float, description: str) -> NativeParameter:
    return NativeParameter(name, least, most, default, "Hz", 0, description)


def _db(name: str, least: float, most: float, default: float, description: str) -> NativeParameter:
    return NativeParameter(name, least, most, default, "dB", 0, description)


def _ms(name: str, least: float, most: float, default: float, description: str) -> NativeParameter:
    return NativeParameter(name, least, most, default, "ms", 0, description)


def _number(name: str, least: float, most: float, default: float, unit: str, description: str) -> NativeParameter:
    return NativeParameter(name, least, most, default, unit, 0, description)


MOST_HZ = 192000.0
"""Highest cutoff in Hz. If it must be below half the sample rate, `neural_fx.native_checks` checks that, too."""

_DYNAMICS = (
    # At -200 dB pedalboard's Compressor rounds the threshold to 0 and divides by it.
    _db("threshold_db", -150, 200, 0, "level above which it compresses"),
    _number("ratio", 1, 1e6, 1, "", "input change in dB for 1 dB of output"),
    _ms("attack_ms", 0, 60000, 1, "time to react to a rising level"),
    _ms("release_ms", 0, 60000, 100, "time to react to a falling level"),
)
_FIRST_ORDER = (_hz("cutoff_frequency_hz", 0, MOST_HZ, 50, "frequency at which the level is down by 3 dB"),)
_EQUALIZER = (
    _hz("cutoff_frequency_hz", 0.001, MOST_HZ, 440, "corner or centre of the band"),
    # Below -100 dB pedalboard's PeakFilter divides by zero.
    _db("gain_db", -96, 96, 0, "boost or cut of the band"),
    _number("q", 0.001, 1000, 0.7071067690849304, "", "quality factor; a higher one is a narrower band"),
)

NATIVE: Mapping[str, tuple[NativeParameter, ...]] = {
    "Bitcrush": (_number("bit_depth", 0, 32, 8, "bits", "resolution of a sample"),),
    "BrickwallLimiter": (
        _db("ceiling_db", -200, 200, -1, "level that no sample exceeds"),
        _ms("release_ms", 0.001, 60000, 100, "time to react to a falling level"),
        _ms("lookahead_ms", 0.001, 100, 5, "time that it looks ahead; takes effect in the next stream"),
        _share("true_peak", 0, "1 also limits peaks between samples; takes effect in the next stream"),
    ),
    "Chorus": (
        _hz("rate_hz", 0, 100, 1, "rate of the modulation"),
        _number("depth", 0, 10, 0.25, "", "depth of the modulation"),
        _ms("centre_delay_ms", 0, 100, 7, "mean delay of the modulation"),
        _number("feedback", -1, 1, 0, "", "fraction of the output that is fed back"),
        _share("mix", 0.5, "0 is the dry signal, 1 the effect"),
    ),
    "Clipping": (_db("threshold_db", -200, 200, -6, "level at which the signal is clipped"),),
    "Compressor": _DYNAMICS,
    "Convolution": (_share("mix", 1, "0 is the dry signal, 1 the effect"),),
    "Delay": (
        _number("delay_seconds", 0, 30, 0.5, "s", "time of an echo"),
        _share("feedback", 0, "fraction of each echo that is repeated"),
        _share("mix", 0.5, "0 is the dry signal, 1 the effect"),
    ),
    "Distortion": (_db("drive_db", -200, 200, 25, "gain before tanh"),),
    "GSMFullRateCompressor": (),
    "Gain": (_db("gain_db", -200, 200, 1, "gain"),),
    "HighShelfFilter": _EQUALIZER,
    "HighpassFilter": _FIRST_ORDER,
    "Invert": (),
    "LadderFilter": (
        _hz("cutoff_hz", 0, MOST_HZ, 200, "corner of the filter"),
        _share("resonance", 0, "peak at the corner"),
        _number("drive", 1, 1000, 1, "", "saturation"),
    ),
    "Limiter": (
        _db("threshold_db", -200, 200, -10, "level above which it limits"),
        _ms("release_ms", 0, 60000, 100, "time to react to a falling level"),
    ),
    "LowShelfFilter": _EQUALIZER,
    "LowpassFilter": _FIRST_ORDER,
    "MP3Compressor": (_number("vbr_quality", 0, 9.99, 2, "", "quality of the encoder; lower is better"),),
    "NoiseGate": (
        _db("threshold_db", -200, 200, -100, "level below which it closes"),
        _number("ratio", 0, 1e6, 10, "", "output change in dB for 1 dB of input"),
        _ms("attack_ms", 0, 60000, 1, "time to react to a rising level"),
        _ms("release_ms", 0, 60000, 100, "time to react to a falling level"),
    ),
    "PeakFilter": _EQUALIZER,
    "Phaser": (
        _hz("rate_hz", 0, 100, 1, "rate of the modulation"),
        _share("depth", 0.5, "depth of the modulation; above 1 it would be unstable with feedback"),
        _hz("centre_frequency_hz", 0, MOST_HZ, 1300, "centre of the modulation"),
        # At -1 and a fast rate the output of pedalboard's Phaser grows without end.
        _number("feedback", -0.99, 0.99, 0, "", "fraction of the output that is fed back"),
        _share("mix", 0.5, "0 is the dry signal, 1 the effect"),
    ),
    "PitchShift": (_number("semitones", -72, 72, 0, "semitones", "up or down; slow beyond 36"),),
    "Resample": (_hz("target_sample_rate", 10, 1e6, 8000, "sample rate of a conversion and back"),),
    "Reverb": (
        _share("room_size", 0.5, "length of the reverberation"),
        _share("damping", 0.5, "loss of treble"),
        _share("wet_level", 0.33000001311302185, "level of the reverberation"),
        _share("dry_level", 0.4000000059604645, "level of the dry signal"),
        _share("width", 1, "stereo width of the reverberation"),
        _share("freeze_mode", 0, "from 0.5 on the reverberation never ends"),
    ),
}  # fmt: skip
"""Parameters that are numbers or switches, by the name of the class. Choices are not listed here."""


def native_knobs(plugin: Plugin | type[Plugin]) -> list[str]:
    """Return the names of a native plugin's parameters."""
    if isinstance(plugin, pedalboard.ExternalPlugin):
        return list(plugin.parameters)
    return list(_knobs(plugin if isinstance(plugin, type) else type(plugin)))


@cache
def _knobs(kind: type[Any]) -> tuple[str, ...]:
    return tuple(n for n in dir(kind) if isinstance(getattr(kind, n), property) and n not in _NOT_KNOBS)


def native_parameters(plugin: Plugin | type[Plugin]) -> dict[str, NativeParameter]:
    """Return the parameters of a native plugin that have a known range, by name."""
    kind = plugin if isinstance(plugin, type) else type(plugin)
    return {parameter.name: parameter for parameter in NATIVE.get(kind.__name__, ())}


@cache
def native_choices(kind: type[Any], name: str) -> Mapping[str, object]:
    """Return the members of a parameter's enumeration by name. Numbers and switches have none.

    Args:
        kind: class of the plugin.
        name: of the parameter.
    """
    returned = returned_type(kind, name)
    found: Any = pedalboard
    for part in returned.split(".")[1:]:
        found = getattr(found, part, None)
    return getattr(found, "__members__", {})


def returned_type(kind: type[Plugin], name: str) -> str:
    """Return the type of a parameter from pybind11's docs, such as ``pedalboard_native.Resample.Quality``.

    Args:
        kind: class of the plugin.
        name: of the parameter.
    """
    getter = getattr(getattr(kind, name, None), "fget", None)
    match = re.search(r"-> ([\w.]+)", getattr(getter, "__doc__", None) or "")
    return match.group(1) if match else ""


def native_value(kind: type[Plugin], name: str, value: object) -> object:
    """Convert a value for a native plugin: to a number, a boolean, or a member of an enumeration.

    Args:
        kind: class of the plugin.
        name: of the parameter.
        value: a number, a boolean, a word such as ``on``, or the name of a choice. Text such as ``0.5`` counts as a
            number.

    Raises:
        ParameterError: not a finite number, outside the range, or not one of the choices.
    """
    choices = native_choices(kind, name)  # type: ignore[arg-type]
    if choices:
        return _choice(choices, name, value)
    known = native_parameters(kind).get(name)
    if returned_type(kind, name) == "bool":
        number = (known or NativeParameter(name, 0, 1, 0)).check(value)
        if number not in (0, 1):
            raise ParameterError(f"{name}: expected 0, 1, on or off, found {shown(value)}")
        return bool(number)
    if known is not None:
        return known.check(value)
    switched = switch(value)
    number = finite_number(value, name) if switched is None else switched
    if abs(number) > FLOAT_MAX:
        raise ParameterError(f"{name}: {number:g} is too large for a 32-bit number")
    return number


def _choice(choices: Mapping[str, object], name: str, value: object) -> object:
    if any(value is member for member in choices.values()):
        return value
    text = str(getattr(value, "name", value))
    folded = {known.casefold(): member for known, member in choices.items()}
    if text.strip().casefold() not in folded:
        hint = suggestion(text, choices)
        raise ParameterError(f"{name}: expected one of {', '.join(choices)}, found {shown(value)}{hint}")
    return folded[text.strip().casefold()]
