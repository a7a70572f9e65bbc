import mido
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from bridge.cli import app
from instruments import DDSP
from instruments.song import perform, read_song
from neural_fx.errors import NeuralFXError
from neural_fx.timbre import analyze
from neural_fx.timbre.files import timbre_bytes
from tests.conftest import SHARED
from tests.neural_fx.timbre.makers import timbre

EVEN = timbre(spread=0)


def song(path, channels=(0, 9), pan=None):
    file = mido.MidiFile(ticks_per_beat=480)
    for channel in channels:
        track = mido.MidiTrack()
        if pan is not None:
            track.append(mido.Message("control_change", control=10, value=pan, channel=channel))
        track.append(mido.Message("program_change", program=40, channel=channel))
        for note in (57, 69):
            track.append(mido.Message("note_on", note=note, velocity=90, channel=channel, time=240))
            track.append(mido.Message("note_off", note=note, channel=channel, time=240))
        file.tracks.append(track)
    file.tracks[0].insert(0, mido.MetaMessage("set_tempo", tempo=500000))
    file.save(path)
    return path


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(timbre_bytes(EVEN.decoder.shape, EVEN.decoder.w, EVEN.reverb, EVEN.habits, {"name": "mine"}))
    return path


def test_notes_are_where_the_song_has_them(tmp_path):
    music = read_song(song(tmp_path / "a.mid"))
    assert list(music.channels) == [0, 9]
    assert music.programs[0] == 40
    audio = perform(music, {0: DDSP(EVEN, vibrato=0, reverb=0)})[0]
    assert not audio[: 12000 - 1].any()
    assert audio[12000:12300].any()
    found = analyze(audio, 48000, "live")
    assert found.f0_hz[100] == pytest.approx(220, rel=0.005)
    assert found.f0_hz[225] == pytest.approx(440, rel=0.005)


def test_pan(tmp_path):
    left = perform(read_song(song(tmp_path / "a.mid", (0,), pan=0)), {0: DDSP(EVEN)})
    assert np.abs(left[1]).max() < 1e-6 < np.abs(left[0]).max()


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_command(tmp_path, made):
    out = tmp_path / "out.wav"
    done = run("play", song(tmp_path / "a.mid", (0, 1, 9)), "-o", out, "--channel", f"1={made}", "--set", "vibrato=0")
    assert done.exit_code == 0, done.output
    assert "channel 10 is drums: skipped" in done.output
    assert "channel 2 (program 41) has no instrument: silent" in done.output
    audio, rate = soundfile.read(out)
    assert rate == 48000
    assert 0.01 < np.abs(audio).max() <= 1
    again = run("play", tmp_path / "a.mid", "-o", out, "--instrument", made)
    assert "exists already" in str(again.exception)
    everybody = run("play", tmp_path / "a.mid", "-o", out, "--instrument", made, "--overwrite", "--json")
    assert '"silent_channels": [\n    10\n  ]' in everybody.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nobody plays"),
        (("--instrument", "kazoo"), "bundled"),
        (("--channel", "17=violin"), "1 to 16"),
        (("--channel", "violin"), "N=TIMBRE"),
        (("--instrument", "MADE", "--set", "5.vibrato=1"), "no instrument on channel 5"),
        (("--instrument", "MADE", "--set", "vibrat=1"), "did you mean 'vibrato'"),
    ],
)
def test_command_refuses(tmp_path, made, arguments, words):
    given = [made if a == "MADE" else a for a in arguments]
    done = run("play", song(tmp_path / "a.mid"), "-o", tmp_path / "x.wav", *given)
    assert words in str(done.exception)
    assert not (tmp_path / "x.wav").exists()


def test_what_is_no_song(tmp_path):
    path = tmp_path / "x.mid"
    whole = song(tmp_path / "a.mid").read_bytes()
    for data in (b"", b"RIFF....", whole[:40], b"MThd" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(NeuralFXError, match=r"x\.mid"):
            read_song(path)
    with pytest.raises(NeuralFXError, match="cannot be read"):
        read_song(tmp_path / "none.mid")
    silent = mido.MidiFile(tracks=[mido.MidiTrack()])
    silent.save(path)
    with pytest.raises(NeuralFXError, match="no notes"):
        read_song(path)


def test_real_songs_are_read():
    folder = SHARED / "midi"
    if not folder.is_dir():
        pytest.skip("no shared songs")
    songs = sorted(folder.rglob("*.mid"))
    assert len(songs) > 50
    assert all(read_song(path).channels for path in songs)
