from collections import Counter
from dataclasses import replace

import mido
import numpy as np
import pytest

from instruments import DDSP, FAMILIES, InstrumentFamily, Latent, general_midi
from instruments.arrangement import Part, assigned_part, general_midi_parts, split_voices
from instruments.base import VOICES
from instruments.keys import KeyFollower, starts
from instruments.mixing import perform
from instruments.song import Song
from neural_fx.timbre import TIMBRES


def on(note, time, velocity=90, channel=0):
    return mido.Message("note_on", note=note, velocity=velocity, time=time, channel=channel)


def off(note, time, channel=0):
    return mido.Message("note_off", note=note, time=time, channel=channel)


def program(number, time=0.0, channel=0):
    return mido.Message("program_change", program=number, time=time, channel=channel)


def control(number, value, time=0.0):
    return mido.Message("control_change", control=number, value=value, time=time)


def song(*messages, channel=0, seconds=10.0):
    return Song({channel: list(messages)}, {}, seconds)


def notes(part):
    return [message.note for message in part.messages if starts(message)]


@pytest.fixture
def timbres_only(monkeypatch):
    """Leave songs no sounds but the bundled timbres."""
    monkeypatch.setattr(general_midi, "sound_names", lambda: list(TIMBRES))


def test_programs_choose_timbres_where_there_are_some_and_presets_elsewhere():
    music = song(program(73), on(70, 0), off(70, 1), program(12, 1), on(71, 1), off(71, 2))
    flute, marimba = general_midi_parts(music, 0)
    assert isinstance(flute.instrument, DDSP)
    assert isinstance(marimba.instrument, Latent)
    assert [part.instrument.sound for part in (flute, marimba)] == ["flute", "marimba"]
    assert (flute.remark, marimba.remark) == ("", "")


def test_program_changes_choose_a_part_for_each_sound(timbres_only):
    music = song(
        program(73), on(70, 0), off(70, 1), program(56, 1), on(71, 1), program(72, 2), off(71, 2), on(72, 2), off(72, 3)
    )
    parts = general_midi_parts(music, 0)
    assert [part.instrument.sound for part in parts] == ["flute", "trumpet"]
    assert [notes(part) for part in parts] == [[70, 72], [71]]
    assert parts[0].remark == "channel 1: flute plays Piccolo (pipes)"
    assert parts[1].remark == ""
    assert off(71, 2) in parts[1].messages, "a note ends although the program has changed"


def test_a_channel_begins_with_program_1(timbres_only):
    (part,) = general_midi_parts(song(on(70, 0)), 0)
    assert "violin plays Acoustic Grand Piano" in part.remark


def test_the_volume_of_general_midi_is_100_unless_the_song_sets_it():
    def volumes(*messages):
        (part,) = general_midi_parts(song(*messages, on(70, 0)), 0)
        return [message.value for message in part.messages if message.type == "control_change"]

    assert volumes() == [100]
    assert volumes(control(7, 55)) == [55]


def test_velocities_are_balanced_only_where_programs_choose():
    music = song(program(65), on(70, 0, velocity=40))
    (chosen,) = general_midi_parts(music, 0)
    assert next(m.velocity for m in chosen.messages if starts(m)) != 40
    assert chosen.balance.gain_db < -5
    assigned = assigned_part(music, 0, "alto-sax")
    assert next(m.velocity for m in assigned.messages if starts(m)) == 40
    assert assigned.balance.gain_db == 0


def test_an_assigned_instrument_plays_all_programs_and_says_so():
    part = assigned_part(song(program(1), on(70, 0), program(2, 1.0)), 0, "flute")
    assert part.remark == "channel 1 changes its program; one instrument plays all of it"


def test_drums_come_from_the_family_of_that_name():
    music = song(on(36, 0, channel=9), channel=9)
    if "drums" not in FAMILIES:
        assert general_midi_parts(music, 9) == []
        FAMILIES.add(InstrumentFamily("drums", DDSP, lambda: ("drums-made",), lambda name: DDSP("flute")))
        try:
            (part,) = general_midi_parts(music, 9)
            assert part.instrument.sound == "flute"
        finally:
            del FAMILIES._members["drums"]
    else:
        (part,) = general_midi_parts(music, 9)
        assert part.instrument.sound in FAMILIES["drums"].sounds()
    assert notes(part) == [36]


# -- more notes than voices ----------------------------------------------------------------------------------------


def most_held(messages):
    follower, most = KeyFollower(), 0
    for message in messages:
        follower.follow(message)
        most = max(most, len(follower.notes))
    return most


def test_few_notes_need_one_instrument():
    part = Part(0, DDSP("violin"), [on(60 + i, i / 10) for i in range(VOICES)])
    assert split_voices(part) == [part]


@pytest.mark.parametrize("pedal", [False, True])
def test_many_notes_are_split_and_none_is_lost(pedal):
    messages = [control(64, 127, 0.0)] if pedal else []
    for i in range(20):
        messages.append(on(50 + i, 0.1 * i))
        if pedal:
            messages.append(off(50 + i, 0.1 * i + 0.05))
    messages.append(control(64, 0, 4.0))
    messages += [off(50 + i, 5.0) for i in range(20)]
    lines = split_voices(Part(0, DDSP("violin", vibrato=2), messages))
    assert len(lines) == 3
    assert max(most_held(line.messages) for line in lines) == VOICES
    assert Counter(note for line in lines for note in notes(line)) == Counter(range(50, 70))
    assert len({id(line.instrument) for line in lines}) == 3
    assert {line.instrument.vibrato for line in lines} == {2}


def test_a_later_instrument_begins_with_the_controllers_before_it():
    messages = [control(1, 77), *[on(60 + i, 1.0) for i in range(9)]]
    second = split_voices(Part(0, DDSP("violin"), messages))[1]
    assert second.messages[0] == control(1, 77)


def test_a_key_that_is_struck_again_stays_in_its_line():
    messages = [on(60 + i, 0.0) for i in range(9)] + [on(68, 1.0), on(60, 1.0)]
    lines = split_voices(Part(0, DDSP("violin"), messages))
    assert [notes(line).count(60) for line in lines] == [2, 0]
    assert [notes(line).count(68) for line in lines] == [0, 2]


def test_an_instrument_with_fewer_voices_is_not_split():
    part = Part(0, DDSP("violin", voices=1), [on(60 + i, 0.0) for i in range(12)])
    assert split_voices(part) == [part]


def test_a_split_chord_sounds_like_its_notes():
    chord = [on(50 + 2 * i, 0.0) for i in range(12)]
    music = Song({0: chord}, {}, 1.0)
    lines = split_voices(Part(0, DDSP("flute", vibrato=0, reverb=0), chord))
    together = sum(perform(replace_channel(music, line), {0: line.instrument}, 16000) for line in lines)
    alone = sum(perform(Song({0: [note]}, {}, 1.0), {0: DDSP("flute", vibrato=0, reverb=0)}, 16000) for note in chord)
    # The noise of the voices differs, the tones do not.
    assert np.sqrt(np.mean((together - alone) ** 2)) < 0.1 * np.sqrt(np.mean(alone**2))


def replace_channel(music, line):
    return replace(music, channels={0: list(line.messages)})
