"""`neural-fx play`: programs that choose sounds, stems, turning down; and whole songs."""

import json
from collections import Counter

import mido
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from bridge.cli import app
from bridge.cli.song_options import arrange
from demos.instruments.check_songs import check
from instruments import FAMILIES, general_midi
from instruments.base import VOICES
from instruments.keys import KeyFollower, starts
from instruments.song import read_song
from neural_fx.timbre import TIMBRES
from tests.conftest import SHARED

DRUMS = "drums" in FAMILIES


def song(path, *channels, velocity=90, notes=(57, 69)):
    """Write a song of (channel, program or None, pan or None)."""
    file = mido.MidiFile(ticks_per_beat=480)
    for channel, program, pan in channels:
        track = mido.MidiTrack()
        if pan is not None:
            track.append(mido.Message("control_change", control=10, value=pan, channel=channel))
        if program is not None:
            track.append(mido.Message("program_change", program=program, channel=channel))
        for note in notes:
            track.append(mido.Message("note_on", note=note, velocity=velocity, channel=channel, time=120))
            track.append(mido.Message("note_off", note=note, channel=channel, time=240))
        file.tracks.append(track)
    file.save(path)
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def played(*arguments):
    done = run("play", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), done.stderr


def test_presets_play_the_programs_of_their_names(tmp_path):
    path = song(tmp_path / "a.mid", (0, 56, None), (1, 74, None))
    found, _ = played(path, "-o", tmp_path / "a.wav")
    assert found["channels"] == {"1": "trumpet", "2": "recorder"}
    assert not any("recorder" in remark or "flute" in remark for remark in found["remarks"])


def test_programs_choose_the_sounds(tmp_path, monkeypatch):
    monkeypatch.setattr(general_midi, "sound_names", lambda: list(TIMBRES))
    path = song(tmp_path / "a.mid", (0, 56, None), (1, 74, None), (9, None, None))
    found, words = played(path, "-o", tmp_path / "a.wav")
    assert found["channels"]["1"] == "trumpet"
    assert found["channels"]["2"] == "flute"
    assert "channel 2: flute plays Recorder (pipes)" in found["remarks"]
    assert "channel 2: flute plays Recorder (pipes)" in words
    assert not any("trumpet" in remark for remark in found["remarks"])
    if DRUMS:
        assert "10" in found["channels"]
    else:
        assert found["silent_channels"] == [10]
        assert "channel 10 is drums: skipped" in found["remarks"]


def test_general_midi_can_be_chosen_beside_other_instruments(tmp_path):
    path = song(tmp_path / "a.mid", (0, 56, None), (1, 73, None))
    found, _ = played(path, "-o", tmp_path / "a.wav", "--instrument", "general-midi", "--channel", "2=cello")
    assert found["channels"] == {"1": "trumpet", "2": "cello"}
    found, _ = played(path, "-o", tmp_path / "b.wav", "--channel", "2=general-midi")
    assert found["channels"] == {"2": "flute"}
    assert found["silent_channels"] == [1]


def test_settings_reach_all_instruments_of_a_channel(tmp_path):
    path = song(tmp_path / "a.mid", (0, 73, None), notes=range(60, 72))
    still, _ = played(path, "-o", tmp_path / "a.wav", "--set", "loudness_db=-20")
    usual, _ = played(path, "-o", tmp_path / "b.wav")
    assert still["peak"] < 0.3 * usual["peak"]


@pytest.mark.parametrize(("channels", "velocity"), [(2, 50), (12, 127)])
def test_stems_sum_to_the_mix(tmp_path, channels, velocity):
    numbers = [channel for channel in range(13) if channel != 9][:channels]
    path = song(tmp_path / "a.mid", *[(channel, 65, 10 * channel) for channel in numbers], velocity=velocity)
    found, words = played(path, "-o", tmp_path / "a.wav", "--stems", tmp_path / "stems")
    mix, _ = soundfile.read(tmp_path / "a.wav", always_2d=True)
    stems = [soundfile.read(path, always_2d=True)[0] for path in found["stems"].values()]
    assert len(stems) == channels
    total = sum(stems)
    np.testing.assert_allclose(mix, total * 10 ** (found["gain_db"] / 20), atol=2e-4)
    assert np.abs(mix).max() <= 0.9901
    assert (found["gain_db"] < 0) == (channels == 12) == ("turned down by" in words)
    assert found["peak"] == pytest.approx(np.abs(total).max(), abs=1e-3)
    assert sorted(p.name for p in (tmp_path / "stems").iterdir())[0] == "channel-01-alto-sax.wav"


def test_stems_are_not_overwritten_unasked(tmp_path):
    path = song(tmp_path / "a.mid", (0, 65, None))
    stem = tmp_path / "stems" / "channel-01-alto-sax.wav"
    stem.parent.mkdir()
    stem.write_text("mine")
    done = run("play", path, "-o", tmp_path / "a.wav", "--stems", stem.parent)
    assert "already exists" in str(done.exception)
    assert stem.read_text() == "mine"
    assert not (tmp_path / "a.wav").exists()
    played(path, "-o", tmp_path / "a.wav", "--stems", stem.parent, "--overwrite")
    assert soundfile.info(stem).subtype == "FLOAT"
    done = run("play", path, "-o", stem, "--stems", stem.parent, "--overwrite")
    assert "is the name of a stem" in str(done.exception)


def test_no_stem_is_left_if_the_mix_cannot_be_written(tmp_path, monkeypatch):
    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("neural_fx.render.write_audio", fail)
    run("play", song(tmp_path / "a.mid", (0, 65, None)), "-o", tmp_path / "a.wav", "--stems", tmp_path / "stems")
    assert list((tmp_path / "stems").iterdir()) == []


def test_every_note_of_real_songs_reaches_one_instrument_with_a_free_voice():
    songs = sorted((SHARED / "midi").rglob("*.mid"))[::8]
    if not songs:
        pytest.skip("no shared songs")
    for path in songs:
        music = read_song(path)
        for channel, parts in arrange(music, None, (), ()).parts.items():
            wanted = Counter((m.note, m.time) for m in music.channels[channel] if starts(m))
            assert Counter((m.note, m.time) for part in parts for m in part.messages if starts(m)) == wanted, path
            for part in parts:
                follower = KeyFollower()
                for message in part.messages:
                    follower.follow(message)
                    assert len(follower.notes) <= VOICES, path


SONGS = ["freedoom2_D_DEAD2.mid", "freedoom1_D_VICTOR.mid", "freedoom1_D_INTROA.mid"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SONGS)
def test_no_note_of_a_song_is_lost(name, monkeypatch):
    # The search needs sounds with all harmonics, as the timbres have them.
    monkeypatch.setattr(general_midi, "sound_names", lambda: list(TIMBRES))
    found = checked(name)
    assert found.lost == []
    assert found.found + found.silent == found.notes


@pytest.mark.slow
@pytest.mark.parametrize("name", SONGS)
def test_presets_play_the_notes_of_a_song(name):
    found = checked(name)
    assert found.found + found.silent >= 0.95 * found.notes


def checked(name):
    path = SHARED / "midi" / name
    if not path.is_file():
        pytest.skip("no shared songs")
    found = check(path)
    assert found.seconds == pytest.approx(read_song(path).seconds + 2, abs=0.1)
    assert found.notes > 30
    assert found.controls_found <= 0.3 * found.controls, "the check finds notes that are not there"
    return found
