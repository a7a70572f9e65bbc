"""MIDI files as they are found: legal ones that are rare, broken ones that every player plays, and hostile ones."""

import io
import shutil
import struct
import subprocess
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instruments.keys import starts
from instruments.midi_file import Clock, parse_midi
from instruments.midi_track import MAX_EVENTS, MidiFileError
from instruments.song import read_song
from neural_fx.errors import NeuralFXError
from tests.conftest import SHARED

END = bytes([0, 0xFF, 0x2F, 0])
NOTE = bytes([0, 0x90, 69, 90, 0x83, 0x60, 0x80, 69, 0])  # a beat
BEGIN = bytes([0, 0x90, 69, 90])


def header(tracks=1, division=480, kind=1):
    return b"MThd" + struct.pack(">IHHH", 6, kind, tracks, division)


def chunk(body, name=b"MTrk", size=None):
    return name + struct.pack(">I", len(body) if size is None else size) + body


def file(*bodies, **head):
    return header(len(bodies), **head) + b"".join(chunk(body + END) for body in bodies)


def played(data):
    """(seconds, bytes) of every message, and the remarks."""
    found = parse_midi(data)
    return [(round(found.clock.seconds(tick), 6), bytes(message)) for tick, message in found.events], found.remarks


ONE = [(0.0, bytes([0x90, 69, 90])), (0.5, bytes([0x80, 69, 0]))]
RMI = b"RIFF" + struct.pack("<I", 0) + b"RMIDINFO" + struct.pack("<I", 3) + b"abc\0"
PLAIN = file(NOTE)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        header() + chunk(b"abcd", b"XFIH") + chunk(NOTE + END),
        b"MThd" + struct.pack(">IHHHI", 10, 1, 1, 480, 0) + chunk(NOTE + END),
        PLAIN + bytes(3),
        RMI + b"data" + struct.pack("<I", len(PLAIN)) + PLAIN + b"LIST" + struct.pack("<I", 4) + b"INFO",
        file(bytes([0, 0xF0, 2, 0x7E, 0xF7]) + NOTE),
        file(bytes([0, 0xF7, 3, 0xF3, 1, 0]) + NOTE),
        file(bytes([0, 0xFF, 0x7F, 3, 1, 2, 3]) + NOTE),
        file(BEGIN + bytes([0x83, 0x60, 0xFF, 1, 1, 65, 0, 69, 0])),  # running status goes on after a text
        file(BEGIN + bytes([0x83, 0x60, 0xF0, 1, 0xF7, 0, 69, 0])),
        file(b"", NOTE),
    ],
)
def test_legal_or_harmless(data):
    messages, remarks = played(data)
    assert [(seconds, m if m[0] < 0x90 or m[2] else bytes([0x80, 69, 0])) for seconds, m in messages] == ONE
    assert remarks == ()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (file(bytes([0, 0xFF, 0x59, 2, 11, 0]) + NOTE), "impossible key signature"),
        (file(bytes([0, 0xFF, 0x59, 1, 0]) + NOTE), "key signature of the wrong size"),
        (file(bytes([0, 0xFF, 0x51, 3, 0, 0, 0]) + NOTE), "tempo of 0"),
        (file(bytes([0, 0xFF, 0x51, 2, 1, 1]) + NOTE), "tempo of the wrong size"),
        (file(bytes([0, 0x90, 200, 90]) + NOTE), "above 127; the message is left out"),
        (file(bytes([0, 0xC0, 200]) + NOTE), "above 127; the message is left out"),
        (file(bytes([0, 0xF2, 1, 2]) + NOTE), "a system message"),
        (file(bytes([0, 0xFE]) + NOTE), "a system message"),
        (file(bytes([0, 69, 90]) + NOTE), "without a status"),
        (header(3) + chunk(NOTE + END), "the header says 3 tracks, found 1"),
        (header(0) + chunk(NOTE + END), "the header says 0 tracks, found 1"),
        (header(1) + chunk(NOTE + END) + chunk(END), "the header says 1 track, found 2"),
        (header(2, kind=0) + chunk(NOTE + END) + chunk(END), "format 0"),
        (header(1, kind=7) + chunk(NOTE + END), "format 7"),
        (header() + chunk(NOTE), "no end of track"),
        (header() + chunk(NOTE + bytes([0, 0xFF, 0x2F])), "no end of track"),
        (PLAIN[:-1], "the file ends inside it"),
        (file(NOTE + BEGIN)[:-6], "the file ends inside it"),
        (header() + chunk(NOTE + END, size=0), "wrong length"),
        (header() + chunk(NOTE + END, size=3), "wrong length"),
        (header() + chunk(NOTE + END, size=2**32 - 1), "wrong length"),
        (header(2) + chunk(NOTE + END, size=26) + chunk(END), "wrong length"),
        (header(2) + chunk(END, size=100) + chunk(NOTE + END), "wrong length"),
        (header(2) + chunk(NOTE, size=2) + chunk(END), "wrong length"),
        (header() + chunk(NOTE + END + BEGIN), "behind its end"),
        (b"a mailer's words" + PLAIN, "16 bytes before the header"),
        (PLAIN + b"???", "belong to no chunk"),
        (header(2) + chunk(NOTE + END) + b"\0\1" + chunk(END), "belong to no chunk"),
        (PLAIN + PLAIN, "another MIDI file follows"),
        (file(NOTE + bytes([0xFF, 0xFF, 0xFF, 0xFF, 0x7F]) + BEGIN), "over four bytes"),
        (file(bytes([0, 0xFF, 0x21, 1, 0]) + NOTE, bytes([0, 0xFF, 0x21, 1, 1])), "several MIDI ports"),
    ],
)
def test_broken_files_play_with_a_remark(data, words):
    messages, remarks = played(data)
    assert messages == ONE
    assert words in " ".join(remarks)


def test_values_above_127_are_127():
    messages, remarks = played(file(bytes([0, 0x90, 69, 200, 0, 0xE0, 255, 255, 0, 0xD0, 128])))
    assert [bytes(m) for _, m in messages] == [b"\x90\x45\x7f", b"\xe0\x7f\x7f", b"\xd0\x7f"]
    assert remarks == ("track 1: a value above 127; read as 127 (3 times)",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"RIFF" + bytes(60), "not a MIDI file: it begins with b'RIFF'"),
        (b"MThd\0\0", "inside its header"),
        (header(), "1 track, found none"),
        (header(2) + b"MThd", "2 tracks, found none"),
        (file(NOTE, division=0), "0 ticks per beat"),
        (file(NOTE, division=0xE700), "0 ticks per SMPTE frame"),
        (file(NOTE, kind=2), "format 2"),
    ],
)
def test_refusals_say_why(data, words):
    with pytest.raises(MidiFileError, match=words):
        parse_midi(data)


# -- time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "ticks", "seconds"), [(24, 10, 2.0), (25, 40, 0.48), (30, 80, 0.2), (29, 100, 480 * 1001 / 3_000_000)]
)
def test_smpte_time_knows_no_tempo(frames, ticks, seconds):
    tempo = bytes([0, 0xFF, 0x51, 3, 1, 0, 0])
    messages, remarks = played(file(tempo + NOTE, division=(256 - frames) << 8 | ticks))
    assert messages[1][0] == pytest.approx(seconds, abs=1e-6)
    assert remarks == ()


def test_unknown_frame_rates_are_taken_at_their_word():
    messages, remarks = played(file(NOTE, division=(256 - 50) << 8 | 10))
    assert messages[1][0] == pytest.approx(480 / 500)
    assert "50 SMPTE frames" in remarks[0]


def test_tempos_count_from_any_track():
    """Beats at 120 and 60 per minute, the second tempo in a track of its own, a third one in the middle of a note."""
    slower = b"\x83\x60\xff\x51\x03" + (1_000_000).to_bytes(3, "big")
    faster = b"\x81\x70\xff\x51\x03" + (250_000).to_bytes(3, "big")
    notes = BEGIN + bytes([0x83, 0x60, 69, 0, 0, 69, 90, 0x83, 0x60, 69, 0])
    messages, _ = played(file(notes, slower, b"\x83\x60" + slower[2:] + faster))
    assert [seconds for seconds, _ in messages] == [0.0, 0.5, 0.5, 0.5 + 0.5 + 0.125]


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 2**24 - 1)), max_size=6),
    st.integers(1, 32767),
    st.integers(0, 9000),
)
def test_the_clock_adds_up_tick_by_tick(tempos, division, tick):
    rate, seconds, at = 500_000, 0.0, 0
    for begins, tempo in sorted(tempos, key=lambda pair: pair[0]):
        if begins <= tick:
            seconds += (begins - at) * rate / 1e6 / division
            rate, at = tempo, begins
    seconds += (tick - at) * rate / 1e6 / division
    assert Clock(None, division, tempos).seconds(tick) == pytest.approx(seconds, rel=1e-9, abs=1e-12)


# -- beside mido -------------------------------------------------------------------------------------------------

BYTE, CHANNEL, DELTA = st.integers(0, 127), st.integers(0, 15), st.integers(0, 3000)
EVENTS = st.one_of(
    st.builds(
        lambda k, c, n, v, t: mido.Message(k, channel=c, note=n, velocity=v, time=t),
        st.sampled_from(["note_on", "note_off"]), CHANNEL, BYTE, BYTE, DELTA,
    ),
    st.builds(lambda c, n, v, t: mido.Message("control_change", channel=c, control=n, value=v, time=t),
              CHANNEL, BYTE, BYTE, DELTA),
    st.builds(lambda c, p, t: mido.Message("pitchwheel", channel=c, pitch=p, time=t),
              CHANNEL, st.integers(-8192, 8191), DELTA),
    st.builds(lambda c, p, t: mido.Message("program_change", channel=c, program=p, time=t), CHANNEL, BYTE, DELTA),
    st.builds(lambda d, t: mido.Message("sysex", data=d, time=t), st.lists(BYTE, max_size=200), DELTA),
    st.builds(lambda u, t: mido.MetaMessage("set_tempo", tempo=u, time=t), st.integers(1, 2**24 - 1), DELTA),
    st.builds(lambda w, t: mido.MetaMessage("text", text=w, time=t), st.text("abcMTrk", max_size=150), DELTA),
)  # fmt: skip
SONGS = st.builds(
    lambda tracks, beat: mido.MidiFile(type=1, ticks_per_beat=beat, tracks=[mido.MidiTrack(t) for t in tracks]),
    st.lists(st.lists(EVENTS, max_size=20), min_size=1, max_size=4),
    st.integers(1, 32767),
)


def as_bytes(song):
    stream = io.BytesIO()
    song.save(file=stream)
    return stream.getvalue()


@given(SONGS)
def test_what_mido_reads_is_read_alike(song):
    data = as_bytes(song)
    theirs, now = [], 0.0
    for message in mido.MidiFile(file=io.BytesIO(data)):
        now += message.time
        if hasattr(message, "channel"):
            theirs.append((now, bytes(message.bytes())))
    found = parse_midi(data)
    assert found.remarks == ()
    assert [m for _, m in found.events] == [m for _, m in theirs]
    times = [found.clock.seconds(tick) for tick, _ in found.events]
    assert times == pytest.approx([seconds for seconds, _ in theirs])


@settings(max_examples=150)
@given(
    SONGS, st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 9)), max_size=4), st.floats(0, 1)
)
@example(mido.MidiFile(tracks=[mido.MidiTrack()]), [], 0.0)
def test_any_damage_gives_a_song_or_a_reason(tmp_path_factory, song, wounds, rest):
    data = as_bytes(song)
    for where, new, gone in wounds:
        at = round(where * len(data))
        data = data[:at] + new + data[at + gone :]
    path = tmp_path_factory.getbasetemp() / "damaged.mid"
    for length in (len(data), round(rest * len(data))):
        path.write_bytes(data[:length])
        try:
            music = read_song(path)
        except NeuralFXError as error:
            assert str(error).partition("damaged.mid: ")[2].strip()
        else:
            assert any(starts(m) for messages in music.channels.values() for m in messages)
            assert 0 <= music.seconds < 4 * 3600 + 1


def test_fluidsynth_strikes_at_the_same_times(tmp_path):
    """Another player, and its sound: wood blocks under four tempos, which come from a second track."""
    soundfont = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
    if shutil.which("fluidsynth") is None or not soundfont.is_file():
        pytest.skip("no fluidsynth with TimGM6mb.sf2")
    strikes = b"".join(delta + bytes([0x99, 76, 120]) for delta in (b"\x81\x70", b"\x83\x60", b"\x87\x40", b"\x83\x60"))
    tempos = b"".join(
        delta + b"\xff\x51\x03" + tempo.to_bytes(3, "big")
        for delta, tempo in ((b"\0", 400_000), (b"\x87\x40", 1_200_000), (b"\x85\x3c", 250_000))
    )
    path, sound = tmp_path / "a.mid", tmp_path / "a.wav"
    path.write_bytes(file(strikes, tempos))
    command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-r", "48000", "-F", sound, soundfont, path]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    audio = np.abs(soundfile.read(sound)[0]).max(1)
    peaks = audio[: len(audio) // 48 * 48].reshape(-1, 48).max(1)  # by milliseconds
    heard = [i / 1000 for i in range(20, len(peaks)) if peaks[i] > 0.02 and peaks[i - 20 : i].max() < peaks[i] / 4]
    assert [message.time for message in read_song(path).channels[9]] == pytest.approx(heard, abs=0.005)


# -- bounds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (file(BEGIN + bytes([1, 69, 0]) * MAX_EVENTS), "messages, too many for a song"),
        (file(bytes([1, 0xFF, 1, 0]) * (MAX_EVENTS + 1)), "messages, too many for a song"),
        (header() + chunk(b"") * 65536, "over 65535 tracks"),
        (header() + b"MTrk" * 600_000, "over 65535 tracks"),
        (header() + b"MTr\0" * 600_000, "found none"),
        (header() + bytes(2_000_000), "found none"),
        (header() + chunk(bytes(2_000_000)), ""),
    ],
)
def test_hostile_files_are_bounded(tmp_path, data, words):
    path = tmp_path / "x.mid"
    path.write_bytes(data)
    with pytest.raises(NeuralFXError, match=words or "no notes"):
        read_song(path)


def test_tracks_that_claim_the_rest_of_the_file_are_read_once():
    """Quadratic work would take minutes here."""
    data = header(3000) + b"".join(chunk(NOTE, size=0xFFFFFF) for _ in range(3000))
    assert len(parse_midi(data).events) == 6000


# -- the small cases ---------------------------------------------------------------------------------------------

CASES = {
    "smpte25x40": (1.0, ""),
    "sustain_end": (1.0, "still down at the end"),
    "stuck": (1.0, "still down at the end"),
    "abut_on_before_off": (2.0, ""),
    "rpn12": (2.0, ""),
    "sysex": (0.5, ""),
    "alien_chunk": (0.5, ""),
    "keysig_bad": (0.5, "key signature"),
    "velocity200": (0.5, "above 127"),
    "tracks_more_in_header": (0.5, "the header says 3 tracks, found 1"),
    "late_eot": (0.5, "after its last note"),
}


@pytest.mark.parametrize("name", CASES)
def test_cases(name):
    path = SHARED / f"cases/midi/{name}.mid"
    if not path.is_file():
        pytest.skip("no shared cases")
    seconds, words = CASES[name]
    music = read_song(path)
    assert music.seconds == pytest.approx(seconds)
    assert words in " ".join(music.remarks)
    assert bool(music.remarks) == bool(words)
