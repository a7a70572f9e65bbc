"""The seam that other families of instruments are built on: a family of sines in a few lines."""

import mido
import numpy as np
import pytest

from instruments import Instrument
from instruments.base import VOICES, note_hz, parse_messages

RATE = 32000


class Sines:
    """Voices of sines that stop dead."""

    sample_rate = float(RATE)

    def __init__(self):
        self.touches = [None] * VOICES
        self.phase = np.zeros(VOICES)
        self.log = []

    def start(self, voice, touch):
        self.touches[voice], self.phase[voice] = touch, 0.0
        self.log.append(("start", voice, touch.pitch))

    def change(self, voice, touch):
        self.touches[voice] = touch if touch.held else None

    def sounding(self, voice):
        return self.touches[voice] is not None

    def level(self, voice):
        return 0.0

    def render(self, count):
        out = np.zeros(count, np.float32)
        for voice, touch in enumerate(self.touches):
            if touch is not None:
                step = float(note_hz(touch.pitch)) / RATE
                turns = self.phase[voice] + step * np.arange(count)
                out += touch.velocity * np.sin(2 * np.pi * turns).astype(np.float32)
                self.phase[voice] += step * count
        return out


class Organ(Instrument):
    def open_family(self):
        return Sines()


def on(note, at, velocity=127, channel=0):
    return mido.Message("note_on", note=note, velocity=velocity, time=at, channel=channel)


def off(note, at, channel=0):
    return mido.Message("note_off", note=note, time=at, channel=channel)


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


def test_glide_and_bend_reach_the_family():
    organ = Organ(voices=1, glide=0.05)
    organ([on(60, 0), on(72, 0.1), mido.Message("pitchwheel", pitch=8191, time=0.4)], 0.5, RATE)
    touch = organ._stream.family.touches[0]
    assert touch.pitch == pytest.approx(74, abs=0.02)
    assert [entry[0] for entry in organ._stream.family.log] == ["start"]


def test_voices_are_allotted_and_stolen():
    organ = Organ(voices=2)
    organ([on(60, 0), on(64, 0.1), on(67, 0.2)], 0.3, RATE)
    assert [entry[1] for entry in organ._stream.family.log] == [0, 1, 0]
    again = Organ()
    again([on(60, 0), on(60, 0.1)], 0.3, RATE)
    assert [entry[1] for entry in again._stream.family.log] == [0, 0], "the same key takes its own voice"


def test_channels_are_apart():
    organ = Organ()
    organ([on(60, 0, channel=0), on(60, 0, channel=1), off(60, 0.1, channel=1)], 0.2, RATE)
    assert sum(touch is not None for touch in organ._stream.family.touches) == 1


def test_messages_are_put_in_order():
    events = parse_messages([on(60, 0.5), (b"\x90\x40\x40", 0.2), mido.MetaMessage("set_tempo"), on(62, -1.0)])
    assert [seconds for seconds, _ in events] == [0.0, 0.2, 0.5]
