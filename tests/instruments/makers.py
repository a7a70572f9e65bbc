"""Make MIDI messages, and an instrument of sines whose samples are known."""

import mido
import numpy as np

from instruments import Instrument
from instruments.base import VOICES, note_hz

RATE = 32000
"""Sample rate of the sines in Hz."""


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


def control(number, value, at, channel=0):
    return mido.Message("control_change", control=number, value=value, time=at, channel=channel)
