"""The contract with families: they play to the sample, at any rate."""

import numpy as np
import pytest

from tests.instruments.makers import RATE, Organ, off, on


def test_a_family_plays_to_the_sample():
    audio = Organ()([on(69, 0.1), off(69, 0.2)], 0.3, RATE, num_channels=1)[0]
    expected = np.zeros(9600)
    expected[3200:6400] = np.sin(2 * np.pi * 440 * np.arange(3200) / RATE)
    assert np.abs(audio - expected).max() < 1e-4


def test_other_rates_are_converted():
    audio = Organ()([on(69, 0.0)], 0.5, 48000, num_channels=1)[0]
    assert len(audio) == 24000
    spectrum = np.abs(np.fft.rfft(audio[4800:] * np.hanning(19200)))
    assert spectrum.argmax() * 48000 / 19200 == pytest.approx(440, abs=2.5)
