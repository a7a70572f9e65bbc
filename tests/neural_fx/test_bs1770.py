"""Loudness against the signals of EBU Tech 3341 and the sine that BS.1770 gives."""

import math

import numpy as np
import pytest

from neural_fx.bs1770 import integrated_loudness, momentary_loudness


def sine(db, seconds, rate=48000, hz=1000.0):
    time = np.arange(round(seconds * rate)) / rate
    return 10 ** (db / 20) * np.sin(2 * np.pi * hz * time)


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_a_full_sine_of_997_hz_measures_minus_3_01(rate):
    assert integrated_loudness(sine(0, 2, rate, 997)[None], rate) == pytest.approx(-3.01, abs=0.02)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([(-23, 20)], -23),
        ([(-33, 20)], -33),
        ([(-36, 10), (-23, 60), (-36, 10)], -23),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
)
def test_stereo_sines_of_the_ebu(levels, expected):
    mono = np.concatenate([sine(db, seconds) for db, seconds in levels])
    assert integrated_loudness(np.stack((mono, mono)), 48000) == pytest.approx(expected, abs=0.1)


def test_silence_and_what_is_too_short():
    assert integrated_loudness(np.zeros((1, 48000)), 48000) == -math.inf
    for shape in ((1, 1000), (3, 48000)):
        with pytest.raises(ValueError, match="expected one or two channels"):
            integrated_loudness(np.zeros(shape), 48000)


def test_momentary_loudness_follows_a_step():
    found = momentary_loudness(np.concatenate((sine(-40, 1), sine(-20, 1)))[None], 48000)
    assert found[0] == pytest.approx(-43, abs=0.1)
    assert found[-1] == pytest.approx(-23, abs=0.1)
