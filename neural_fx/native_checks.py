"""Check the parameters of native plugins right before native code uses them.

Users set attributes of pedalboard's own objects, which cannot be observed. So all values are read before every block.
This takes about 0.4 us for each number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import TypeAlias, cast

import numpy as np
import pedalboard

from neural_fx.errors import ParameterError
from neural_fx.native_ranges import (
    FLOAT_EPSILON,
    FLOAT_MAX,
    NativeParameter,
    native_choices,
    native_knobs,
    native_parameters,
    returned_type,
)

Plugin: TypeAlias = pedalboard.Plugin


class NativeChecks:
    """Checks the parameters of the plugins of a run.

    Args:
        plugins: of the run. Chains and mixes are searched each time, because they can change.
        sample_rate: of the stream, in Hz.
    """

    def __init__(self, plugins: Iterable[Plugin], sample_rate: float) -> None:
        self.sample_rate = sample_rate
        self._plugins = list(plugins)
        self._nested = any(isinstance(plugin, Iterable) for plugin in self._plugins)
        self._checks = self._gathered()

    def __call__(self) -> None:
        """Check all values.

        Raises:
            ParameterError: a value would crash a plugin or make its output NaN. Names the plugin, the parameter, the
                value and the range.
        """
        if self._nested:
            self._checks = self._gathered()
        for check in self._checks:
            check()

    def _gathered(self) -> list[_PluginCheck]:
        return [_PluginCheck(plugin, self.sample_rate) for plugin in _plugins_in(self._plugins)]


def _plugins_in(plugins: Iterable[Plugin]) -> Iterable[Plugin]:
    """Yield the plugins inside all chains, in order. VST3s are left out, because they check their own values."""
    for plugin in plugins:
        if isinstance(plugin, Iterable):
            yield from _plugins_in(plugin)
        elif not isinstance(plugin, pedalboard.ExternalPlugin):
            yield plugin


class _PluginCheck:
    """Checks one plugin. Values that have not changed since the last call are not checked again."""

    def __init__(self, plugin: Plugin, sample_rate: float) -> None:
        self._plugin = plugin
        self._sample_rate = sample_rate
        self._getters, self._parameters = _numbers(type(plugin))  # type: ignore[arg-type]
        self._accepted: list[float] = []

    def __call__(self) -> None:
        values = [get(self._plugin) for get in self._getters]
        if values == self._accepted:  # never true with NaN, which equals nothing
            return
        owner = type(self._plugin).__name__
        for parameter, value in zip(self._parameters, values, strict=True):
            _check_range(owner, parameter, value)
        together = _JOINT_CHECKS.get(owner)
        if together is not None:
            together(owner, values, self._sample_rate)
        self._accepted = values


@cache
def _numbers(kind: type[Plugin]) -> tuple[list[Callable[[Plugin], float]], list[NativeParameter]]:
    """Return getters and parameters for the numbers among a class's parameters, sorted by name."""
    known = native_parameters(kind)
    getters, parameters = [], []
    for name in sorted(native_knobs(kind)):
        if returned_type(kind, name) != "bool" and not native_choices(kind, name):  # type: ignore[arg-type]
            getters.append(cast("Callable[[Plugin], float]", getattr(kind, name).fget))
            parameters.append(known.get(name) or NativeParameter(name, -FLOAT_MAX, FLOAT_MAX, 0))
    return getters, parameters


def _check_range(owner: str, parameter: NativeParameter, value: float) -> None:
    # Plugins keep 32-bit numbers, so a limit that is not one comes back slightly larger or smaller.
    low = min(parameter.minimum, float(np.float32(parameter.minimum)))
    high = max(parameter.maximum, float(np.float32(parameter.maximum)))
    if not low <= value <= high:
        unit = f" {parameter.unit}" if parameter.unit else ""
        raise ParameterError(
            f"{owner}.{parameter.name}: {value:.9g} is outside its range {parameter.minimum:g} to "
            f"{parameter.maximum:g}{unit}; set it again before the next block"
        )


# -- checks that depend on the sample rate, or on several values ----------------------------------------------------


def _check_cutoff(owner: str, values: list[float], sample_rate: float) -> None:
    """Refuse a cutoff above half the sample rate, which makes pedalboard's first-order filters unstable."""
    (cutoff,) = values
    if cutoff > sample_rate / 2:
        raise ParameterError(
            f"{owner}.cutoff_frequency_hz: {cutoff:.9g} Hz is above half the sample rate ({sample_rate / 2:g} Hz); "
            "lower it"
        )


def _check_band(owner: str, values: list[float], sample_rate: float) -> None:
    """Refuse an equalizer band that 32-bit coefficients cannot hold, because its output would grow to NaN.

    The denominator a0 + a1 z^-1 + a2 z^-2 is that of JUCE's `IIR::ArrayCoefficients`. A pole near z = 1 must stay
    inside the unit circle. It does if a0 + a1 + a2 is larger than the rounding error of its largest term. Twice the
    error is enough: of 2592 bands at 48 and 192 kHz, this refuses all 174 whose output grew.
    """
    cutoff, gain_db, q = values  # sorted by name
    omega = 2 * math.pi * min(max(cutoff, 2.0), sample_rate / 2) / sample_rate
    amplitude = math.sqrt(10 ** (gain_db / 20))
    if owner == "PeakFilter":
        total = 2 * (1 - math.cos(omega))
        largest = 1 + math.sin(omega) / (2 * q * amplitude)
    else:
        total = 4 * (1 - math.cos(omega)) * (amplitude if owner == "HighShelfFilter" else 1)
        largest = 1 + amplitude + math.sin(omega) * math.sqrt(amplitude) / q
    if total < 2 * FLOAT_EPSILON * largest:
        raise ParameterError(
            f"{owner}: a band of {gain_db:g} dB and q {q:g} at {cutoff:.9g} Hz is too extreme for a sample rate of "
            f"{sample_rate:g} Hz; raise cutoff_frequency_hz, or use less gain"
        )


_JOINT_CHECKS: dict[str, Callable[[str, list[float], float], None]] = {
    "LowpassFilter": _check_cutoff,
    "HighpassFilter": _check_cutoff,
    "LowShelfFilter": _check_band,
    "HighShelfFilter": _check_band,
    "PeakFilter": _check_band,
}
"""Checks of all values of a plugin together, by the name of the class."""
