import pytest

from instruments import general_midi
from instruments.families import sound_names
from instruments.general_midi import PROGRAMS, choose_drums, choose_sound, sound_name
from neural_fx.timbre import TIMBRES


def test_there_are_128_programs():
    assert len(PROGRAMS) == len(set(PROGRAMS)) == 128
    assert PROGRAMS[40] == "Violin"
    assert sound_name(24) == "acoustic-guitar-nylon"


@pytest.mark.parametrize(
    ("program", "sound"), [(40, "violin"), (42, "cello"), (56, "trumpet"), (65, "alto-sax"), (73, "flute")]
)
def test_a_timbre_plays_its_own_program_without_a_reason(program, sound):
    choice = choose_sound(program, [30, 90])
    assert (choice.sound, choice.reason) == (sound, "")


@pytest.mark.parametrize(
    ("program", "note", "sound"),
    [
        (48, 76, "violin"),
        (48, 48, "cello"),
        (33, 33, "cello"),
        (71, 60, "alto-sax"),
        (57, 50, "trumpet"),
        (19, 60, "flute"),
        (52, 60, "flute"),
        (80, 72, "flute"),
        (81, 26, "cello"),
        (58, 36, "cello"),
    ],
)
def test_other_programs_get_the_nearest_timbre_where_no_preset_has_their_name(program, note, sound, monkeypatch):
    monkeypatch.setattr(general_midi, "sound_names", lambda: list(TIMBRES))
    choice = choose_sound(program, [note])
    assert choice.sound == sound
    assert choice.reason


def test_every_program_has_a_timbre(monkeypatch):
    monkeypatch.setattr(general_midi, "sound_names", lambda: list(TIMBRES))
    for program in range(128):
        assert choose_sound(program, []).sound in TIMBRES


def test_every_program_has_a_preset_of_its_own():
    for program in range(128):
        choice = choose_sound(program, [])
        assert (choice.sound, choice.reason) == (sound_name(program), "")


def test_drums_are_those_of_the_drum_family():
    drums = choose_drums()
    assert drums is None or drums in sound_names()
