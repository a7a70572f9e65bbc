"""The seam that other families of instruments are built on: a family of sines in a few lines."""

import mido
import numpy as np
import pytest

from instruments import Instrument
from instruments.base import VOICES, note_hz, parse_messages
from neural_fx.errors import NeuralFXError

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


def test_messages_from_before_the_beginning_keep_their_order():
    events = parse_messages([off(60, -1.0), on(60, -2.0), on(64, 0.0)])
    assert [(seconds, message.type) for seconds, message in events] == [
        (0.0, "note_on"), (0.0, "note_off"), (0.0, "note_on")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "item", [(b"", 0.0), (b"\x90\x45\x5a", "soon"), ([300, 1, 2], 0.0), (b"\x90\x45\x5a", float("nan"))]
)
def test_what_is_no_message(item):
    with pytest.raises(NeuralFXError, match=r"\w+"):
        parse_messages([item])


def control(number, value, at, channel=0):
    return mido.Message("control_change", control=number, value=value, time=at, channel=channel)


def held_after(*messages, **knobs):
    """The notes that are held after a second."""
    organ = Organ(**knobs)
    organ(messages, 1.0, RATE)
    players = organ._stream.players
    return sorted(v.note for i, v in enumerate(players.voices) if organ._stream.family.sounding(i))


@pytest.mark.parametrize("voices", [1, 8])
def test_a_note_off_spares_a_note_of_its_own_time(voices):
    """A note-on before the note-off of the same key, at one time: the old note ends, the new one sounds."""
    meeting = [on(69, 0.0), on(69, 0.5), off(69, 0.5)]
    assert held_after(*meeting, voices=voices) == [69]
    assert held_after(*meeting, off(69, 0.75), voices=voices) == []
    assert held_after(on(69, 0.0), off(69, 0.5), on(69, 0.5), voices=voices) == [69]
    assert held_after(on(69, 0.5), off(69, 0.5), voices=voices) == [], "a note of no length ends"
    assert held_after(*meeting, off(69, 0.5), voices=voices) == []
    assert held_after(on(69, 0.0), on(69, 0.25), off(69, 0.5), voices=voices) == [], "nothing hangs"
    starts = [entry for entry in _log(*meeting, voices=voices) if entry[0] == "start"]
    assert len(starts) == 2, "both are struck"


def _log(*messages, **knobs):
    organ = Organ(**knobs)
    organ(messages, 1.0, RATE)
    return organ._stream.family.log


def test_pedals():
    down, up = control(64, 127, 0.0), control(64, 0, 0.8)
    assert held_after(down, on(60, 0.1), off(60, 0.2)) == [60]
    assert held_after(down, on(60, 0.1), off(60, 0.2), up) == []
    assert held_after(on(60, 0.1), off(60, 0.2), control(64, 127, 0.3)) == [], "too late"
    caught = [on(60, 0.0), control(66, 127, 0.1), on(64, 0.2), off(60, 0.3), off(64, 0.3)]
    assert held_after(*caught) == [60], "sostenuto holds what was down when it was pressed"
    assert held_after(*caught, control(66, 0, 0.4)) == []
    assert held_after(*caught, control(66, 127, 0.4), control(66, 0, 0.5)) == []
    assert held_after(down, on(60, 0.1), control(123, 0, 0.2)) == [60], "all notes off waits for the pedal"
    assert held_after(down, on(60, 0.1), control(120, 0, 0.2)) == [], "all sound off does not"
    assert held_after(down, on(60, 0.1), off(60, 0.2), control(121, 0, 0.3)) == [], "a reset lifts the pedal"
    assert held_after(on(60, 0.1), control(126, 1, 0.2)) == []
    assert held_after(on(60, 0.1), control(123, 0, 0.2, channel=1)) == [60]
    assert held_after(control(123, 0, 0.2), on(60, 0.2)) == [60], "at one time, in the order given"
    assert held_after(on(60, 0.2), control(123, 0, 0.2)) == []
    assert held_after(down, on(60, 0.1), mido.Message("reset", time=0.2)) == []


def test_registered_parameters_reach_the_voices():
    bend = mido.Message("pitchwheel", pitch=8191, time=0.2)
    select = [control(101, 0, 0.1), control(100, 0, 0.1)]
    organ = Organ()
    organ([on(60, 0.0), *select, control(6, 12, 0.1), bend, on(60, 0.0, channel=1), bend.copy(channel=1)], 0.5, RATE)
    pitches = sorted(touch.pitch for touch in organ._stream.family.touches if touch)
    assert pitches == pytest.approx([62, 72]), "of its channel alone"
    organ.bend_range = 7
    organ([bend], 0.5, RATE, reset=False)
    assert organ._stream.family.touches[0].pitch == pytest.approx(67), "the knob, moved later, counts"
    tuned = Organ()
    tuned([control(101, 0, 0), control(100, 2, 0), control(6, 52, 0), on(69, 0.0)], 0.5, RATE)
    assert tuned._stream.family.touches[0].pitch == pytest.approx(57)
