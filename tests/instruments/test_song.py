import json

import mido
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from bridge.cli import app
from instruments import DDSP
from instruments.keys import starts
from instruments.mixing import perform
from instruments.song import read_song
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
    assert "already exists" in str(again.exception)
    everybody = run("play", tmp_path / "a.mid", "-o", out, "--instrument", made, "--overwrite", "--json")
    assert '"silent_channels": [\n    10\n  ]' in everybody.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--channel", "5=violin"), "no channel has an instrument"),
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
    for data in (b"", b"RIFF....", whole[:24], b"MThd" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(NeuralFXError, match=r"x\.mid: \w+"):
            read_song(path)
    with pytest.raises(NeuralFXError, match="Is a directory"):
        read_song(tmp_path)
    with pytest.raises(NeuralFXError, match="cannot be read"):
        read_song(tmp_path / "none.mid")
    silent = mido.MidiFile(tracks=[mido.MidiTrack()])
    silent.save(path)
    with pytest.raises(NeuralFXError, match="no notes"):
        read_song(path)


def test_real_songs_have_the_notes_that_mido_reads():
    folder = SHARED / "midi"
    if not folder.is_dir():
        pytest.skip("no shared songs")
    songs = sorted(folder.rglob("*.mid"))
    assert len(songs) > 50
    for path in songs[::8]:
        music = read_song(path)
        ours = [_note(m, m.time) for messages in music.channels.values() for m in messages if starts(m)]
        theirs, now = [], 0.0
        for message in mido.MidiFile(path):
            now += message.time
            if not message.is_meta and starts(message):
                theirs.append(_note(message, now))
        assert [note[:3] for note in sorted(ours)] == [note[:3] for note in sorted(theirs)], path
        assert [note[3] for note in sorted(ours)] == pytest.approx([note[3] for note in sorted(theirs)], abs=1e-6)
        assert not [remark for remark in music.remarks if "track" in remark], path


def _note(message, seconds):
    return message.channel, message.note, message.velocity, seconds


# -- what keys and pedals leave behind --------------------------------------------------------------------------


def midi_file(path, *events, file_end=0):
    """A song of (tick, message) at 1000 ticks per second."""
    track, now = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500000)]), 0
    for tick, message in events:
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=max(0, file_end - now)))
    mido.MidiFile(ticks_per_beat=500, tracks=[track]).save(path)
    return path


ON, OFF = mido.Message("note_on", note=69, velocity=90), mido.Message("note_off", note=69)
OTHER_ON, OTHER_OFF = mido.Message("note_on", note=72, velocity=90), mido.Message("note_off", note=72)


def pedal(value, number=64):
    return mido.Message("control_change", control=number, value=value)


@pytest.mark.parametrize(
    ("events", "file_end", "seconds"),
    [
        ([(0, ON), (500, OFF)], 500, 0.5),
        ([(0, ON), (500, OFF)], 18_000_000, 0.5),  # the end of the track is hours later
        ([(0, ON), (500, OFF), (9000, pedal(0, 7))], 9000, 0.5),
        ([(0, ON)], 2000, 2.0),
        ([(0, ON)], 18_000_000, 10.0),
        ([(0, ON), (500, OTHER_ON), (1000, OTHER_OFF)], 1000, 1.0),
        ([(0, pedal(127)), (0, ON), (500, OFF)], 1500, 1.5),
        ([(0, pedal(127)), (0, ON), (500, OFF), (1200, pedal(63))], 5000, 1.2),
        ([(0, pedal(63)), (0, ON), (500, OFF)], 1500, 0.5),
        ([(0, ON), (100, pedal(127, 66)), (500, OFF), (1200, pedal(0, 66))], 5000, 1.2),
        ([(0, ON), (700, pedal(0, 123))], 5000, 0.7),
        ([(0, ON), (700, pedal(0, 120))], 5000, 0.7),
        ([(0, ON), (0, OFF)], 5000, 0.0),
        ([(0, ON), (500, ON), (500, OFF), (900, OFF)], 5000, 0.9),
    ],
)
def test_a_song_lasts_as_long_as_its_notes(tmp_path, events, file_end, seconds):
    music = read_song(midi_file(tmp_path / "a.mid", *events, file_end=file_end))
    assert music.seconds == pytest.approx(seconds)
    assert ("still down" in " ".join(music.remarks)) == (seconds in (2.0, 10.0, 1.0, 1.5))


@pytest.mark.parametrize("held", [[(0, ON)], [(0, pedal(127)), (0, ON), (500, OFF)], [(0, pedal(127, 66)), (0, ON)]])
def test_what_is_held_at_the_end_rings_out(tmp_path, held):
    music = read_song(midi_file(tmp_path / "a.mid", *held, file_end=1000))
    audio = perform(music, {0: DDSP(EVEN, vibrato=0)}, 32000)[0]
    peak = np.abs(audio).max()
    assert np.abs(audio[29000:32000]).max() > 0.1 * peak, "it sounds until the song ends"
    assert np.abs(audio[-3200:]).max() < 1e-4 * peak, "and is silent when the audio does"
    assert np.abs(np.diff(audio[31000:])).max() < 1.2 * np.abs(np.diff(audio[20000:31000])).max(), "without a click"


@pytest.mark.parametrize("events", [
    [(0, ON), (500, ON), (500, OFF), (1000, OFF)],  # the new note begins before the old one ends, at one tick
    [(0, ON), (500, OFF), (500, ON), (1000, OFF)],
    [(0, ON), (500, ON), (700, OFF), (1000, OFF)],  # one over the other
])  # fmt: skip
def test_notes_of_one_key_that_meet_both_sound(tmp_path, events):
    music = read_song(midi_file(tmp_path / "a.mid", *events))
    audio = perform(music, {0: DDSP(EVEN, vibrato=0, reverb=0)}, 32000)[0]
    frames = np.sqrt(np.mean(audio[: 32000 * 2].reshape(-1, 320) ** 2, 1))
    assert frames[20:48].min() > 0.2 * frames.max()
    assert frames[75:98].min() > 0.2 * frames.max()
    assert frames[150:].max() < 1e-3 * frames.max()


def test_a_note_off_that_is_missing_hangs_nothing(tmp_path):
    events = [(0, ON), (200, ON), (400, OFF), (600, ON), (800, OFF), (4000, OTHER_ON), (4100, OTHER_OFF)]
    music = read_song(midi_file(tmp_path / "a.mid", *events))
    audio = perform(music, {0: DDSP(EVEN, vibrato=0, reverb=0)}, 32000)[0]
    assert np.abs(audio[60000:120000]).max() < 1e-3 * np.abs(audio).max()


def test_a_bend_range_in_the_file_counts(tmp_path):
    rpn = [(0, pedal(v, n)) for n, v in ((101, 0), (100, 0), (6, 12), (38, 0))]
    bend = mido.Message("pitchwheel", pitch=8191)
    music = read_song(midi_file(tmp_path / "a.mid", *rpn, (0, ON), (0, bend), (1000, OFF)))
    found = analyze(perform(music, {0: DDSP(EVEN, vibrato=0, reverb=0)})[0], 48000, "live")
    assert np.median(found.f0_hz[50:200]) == pytest.approx(880, rel=0.003)


def test_a_result_that_fits_no_memory_is_refused(tmp_path):
    music = read_song(midi_file(tmp_path / "a.mid", (0, ON), (3 * 3600 * 1000, OFF)))
    with pytest.raises(NeuralFXError, match=r"180 minutes; at 48000 Hz at most 93"):
        perform(music, {0: DDSP(EVEN)})
    with pytest.raises(NeuralFXError, match=r"5\.0 hours; at most 4 hours"):
        read_song(midi_file(tmp_path / "a.mid", (0, ON), (5 * 3600 * 1000, OFF)))


def test_remarks_reach_the_player(tmp_path, made):
    path = midi_file(tmp_path / "a.mid", (0, ON), file_end=500)
    done = run("play", path, "-o", tmp_path / "out.wav", "--instrument", made, "--json")
    assert done.exit_code == 0, done.output
    assert "still down at the end on channel 1" in done.stderr
    assert json.loads(done.stdout)["remarks"] == list(read_song(path).remarks)
