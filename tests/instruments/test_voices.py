"""MIDI messages that reach voices: stealing, glides, pedals, note-offs, registered parameters."""

import mido
import pytest

from tests.instruments.makers import RATE, Organ, control, off, on


def test_glide_and_bend_reach_the_family():
    organ = Organ(voices=1, glide=0.05)
    organ([on(60, 0), on(72, 0.1), mido.Message("pitchwheel", pitch=8191, time=0.4)], 0.5, RATE)
    touch = organ._performance.family.touches[0]
    assert touch.pitch == pytest.approx(74, abs=0.02)
    assert [entry[0] for entry in organ._performance.family.log] == ["start"]


def test_voices_are_allotted_and_stolen():
    organ = Organ(voices=2)
    organ([on(60, 0), on(64, 0.1), on(67, 0.2)], 0.3, RATE)
    assert [entry[1] for entry in organ._performance.family.log] == [0, 1, 0]
    again = Organ()
    again([on(60, 0), on(60, 0.1)], 0.3, RATE)
    assert [entry[1] for entry in again._performance.family.log] == [0, 0], "the same key takes its own voice"


def test_channels_are_apart():
    organ = Organ()
    organ([on(60, 0, channel=0), on(60, 0, channel=1), off(60, 0.1, channel=1)], 0.2, RATE)
    assert sum(touch is not None for touch in organ._performance.family.touches) == 1


def test_a_family_knows_key_and_channel():
    organ = Organ(tuning=3.0)
    organ([mido.Message("pitchwheel", pitch=8191, channel=5), on(60, 0, channel=5)], 0.1, RATE)
    touch = organ._performance.family.touches[0]
    assert (touch.note, touch.channel) == (60, 5)
    legato = Organ(voices=1)
    legato([on(60, 0), on(64, 0.05)], 0.1, RATE)
    assert legato._performance.family.touches[0].note == 64


def held_after(*messages, **knobs):
    """The notes that are held after a second."""
    organ = Organ(**knobs)
    organ(messages, 1.0, RATE)
    performance = organ._performance
    return sorted(v.note for i, v in enumerate(performance.allocator.voices) if performance.family.sounding(i))


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
    return organ._performance.family.log


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
    pitches = sorted(touch.pitch for touch in organ._performance.family.touches if touch)
    assert pitches == pytest.approx([62, 72]), "of its channel alone"
    organ.bend_range = 7
    organ([bend], 0.5, RATE, reset=False)
    assert organ._performance.family.touches[0].pitch == pytest.approx(67), "the knob, moved later, counts"
    tuned = Organ()
    tuned([control(101, 0, 0), control(100, 2, 0), control(6, 52, 0), on(69, 0.0)], 0.5, RATE)
    assert tuned._performance.family.touches[0].pitch == pytest.approx(57)
