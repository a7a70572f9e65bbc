"""The contract with families: they play to the sample, at any rate."""

import numpy as np
import pytest

from instruments import base
from instruments.voices import VoiceAllocator
from tests.instruments.makers import RATE, Organ, control, off, on


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


def test_the_earlier_name_of_the_voices_still_works():
    assert base.Players is VoiceAllocator


@pytest.mark.parametrize("rate", [RATE, 44100, 48000, 96000])
def test_blocks_of_any_size_equal_one_call(rate):
    messages = [on(60, 0.01), on(67, 0.1003), off(60, 0.2), on(72, 0.2), control(1, 80, 0.21), off(67, 0.3)]
    organ = Organ(voices=2)
    whole = organ(messages, 0.4, rate, num_channels=1)
    for size in (64, 8192):
        assert np.array_equal(organ(messages, 0.4, rate, num_channels=1, buffer_size=size), whole)
    organ.reset()
    parts = []
    for i in range(40):
        due = [m.copy(time=m.time - i / 100) for m in messages if i / 100 <= m.time < (i + 1) / 100]
        parts.append(organ(due, 0.01, rate, num_channels=1, reset=False))
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-5)
