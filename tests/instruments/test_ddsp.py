import mido
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from instruments import DDSP
from neural_fx.errors import NeuralFXError, ParameterError
from neural_fx.timbre import analyze
from neural_fx.timbre.files import Habits
from tests.instruments.makers import control, off
from tests.neural_fx.timbre.makers import timbre

RATE = 48000
EVEN = timbre(spread=0, habits=Habits(60, 2500, attack_seconds=0.02, release_db_per_second=300, vibrato_cents=15))


def on(note, at, velocity=90, channel=0):
    return mido.Message("note_on", note=note, velocity=velocity, time=at, channel=channel)


def heard(audio):
    return analyze(audio[0], RATE, "live")


@pytest.mark.parametrize("at", [0.0, 0.1, 0.12345, 0.2001, 0.31])
@pytest.mark.parametrize("velocity", [20, 120])
def test_a_note_begins_within_five_milliseconds(at, velocity):
    audio = DDSP(EVEN, reverb=0)([on(60, at, velocity), off(60, at + 0.5)], 1.0, RATE)[0]
    start = round(at * RATE)
    assert not audio[:start].any()
    peak = np.abs(audio).max()
    first = np.flatnonzero(np.abs(audio) > 1e-3 * peak)[0]
    assert 0 <= first - start <= 0.005 * RATE


def test_a_note_begins_in_time_at_other_rates():
    for rate in (44100, 96000):
        audio = DDSP(EVEN, reverb=0)([on(60, 0.1, 100)], 0.5, rate)[0]
        first = np.flatnonzero(np.abs(audio) > 1e-3 * np.abs(audio).max())[0]
        assert abs(first / rate - 0.1) < 0.005


@pytest.mark.parametrize("note", [40, 57, 69, 84])
def test_sustained_pitch_is_within_ten_cents(note):
    found = heard(DDSP(EVEN)([on(note, 0.0)], 2.0, RATE))
    cents = 1200 * np.log2(found.f0_hz[50:450] / (440 * 2 ** ((note - 69) / 12)))
    assert abs(cents.mean()) < 10
    early = cents[:20]  # before the vibrato begins
    assert np.abs(early).max() < 10


def test_velocity_is_monotone_in_loudness():
    levels = [heard(DDSP(EVEN)([on(60, 0.0, v)], 0.6, RATE)).loudness_db[100] for v in range(7, 128, 20)]
    assert (np.diff(levels) > 0.5).all()


def test_vibrato_begins_late_and_follows_its_knob_and_controller():
    def swing(found, part):
        cents = 1200 * np.log2(found.f0_hz[part])
        return np.sqrt(2) * (cents - cents.mean()).std()

    early, late = slice(15, 65), slice(280, 480)
    plain = heard(DDSP(EVEN)([on(69, 0)], 2, RATE))
    assert swing(plain, early) < 3
    assert swing(plain, late) == pytest.approx(15, abs=4)
    assert swing(heard(DDSP(EVEN, vibrato=0)([on(69, 0)], 2, RATE)), late) < 2
    assert swing(heard(DDSP(EVEN)([control(1, 127, 0), on(69, 0)], 2, RATE)), late) > 40


def test_bend_range_tuning_and_octave():
    def pitch(messages, **knobs):
        return np.median(heard(DDSP(EVEN, vibrato=0, **knobs)([*messages, on(69, 0)], 0.6, RATE)).f0_hz[40:120])

    bend = [mido.Message("pitchwheel", pitch=8191, time=0)]
    assert pitch(bend) == pytest.approx(440 * 2 ** (2 / 12), rel=0.002)
    assert pitch(bend, bend_range=12) == pytest.approx(880, rel=0.002)
    assert pitch([], tuning=50) == pytest.approx(440 * 2 ** (0.5 / 12), rel=0.002)
    assert pitch([], octave=-1) == pytest.approx(220, rel=0.002)


@pytest.mark.parametrize(("number", "louder"), [(11, True), (2, True), (7, True)])
def test_dynamics(number, louder):
    quiet, loud = (
        heard(DDSP(EVEN)([control(number, value, 0), on(60, 0)], 0.6, RATE)).loudness_db[100] for value in (40, 120)
    )
    assert loud - quiet > 6


def test_brightness_controller():
    def centroid(value):
        audio = DDSP(EVEN)([control(74, value, 0), on(57, 0)], 0.6, RATE)[0]
        spectrum = np.abs(np.fft.rfft(audio)) ** 2
        return np.sum(spectrum * np.arange(len(spectrum))) / spectrum.sum()

    assert centroid(0) < centroid(64) < centroid(127)


def test_aftertouch_swells():
    touch = mido.Message("aftertouch", value=127, time=0.5)
    found = heard(DDSP(EVEN)([on(60, 0), touch], 1.0, RATE)).loudness_db
    assert found[200] > found[100] + 3


def test_sustain_pedal_holds():
    notes = [on(60, 0), off(60, 0.3)]
    dry = DDSP(EVEN)(notes, 1.5, RATE)[0]
    held = DDSP(EVEN)([control(64, 127, 0), *notes, control(64, 0, 1.0)], 1.5, RATE)[0]
    assert np.abs(dry[40000:46000]).max() < 1e-3
    assert np.abs(held[40000:46000]).max() > 1e-2
    assert np.abs(held[70000:]).max() < 1e-3


def test_chords_voices_and_stealing():
    notes = [on(40 + i, 0.05 * i) for i in range(12)]
    instrument = DDSP(EVEN)
    audio = instrument(notes, 1.0, RATE)[0]
    assert np.isfinite(audio).all()
    assert len([v for v in instrument._performance.allocator.voices if v.key_down]) <= 8
    steps = np.abs(np.diff(audio))
    assert steps.max() < 0.5 * np.abs(audio).max()
    chord = DDSP(EVEN, vibrato=0)([on(57, 0), on(64, 0)], 1.0, RATE)[0][12000:]
    spectrum = np.abs(np.fft.rfft(chord * np.hanning(len(chord))))
    for hz in (220.0, 440 * 2 ** (-5 / 12)):
        k = round(hz * len(chord) / RATE)
        assert spectrum[k - 2 : k + 3].max() > 0.1 * spectrum.max()


def test_one_voice_plays_legato():
    notes = [on(60, 0), on(64, 0.5), off(60, 0.52), off(64, 1.0)]
    solo = heard(DDSP(EVEN, voices=1, vibrato=0)(notes, 1.0, RATE))
    assert np.median(solo.f0_hz[160:220]) == pytest.approx(440 * 2 ** (-5 / 12), rel=0.003)
    assert solo.loudness_db[100:200].min() > solo.loudness_db[100] - 3
    detached = heard(DDSP(EVEN, voices=1)([on(60, 0), off(60, 0.4), on(64, 0.6)], 1.0, RATE))
    assert detached.loudness_db[100:150].min() < detached.loudness_db[90] - 20


@settings(max_examples=10, deadline=None)
@example([1, 1, 167], 44100)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=5), st.sampled_from([48000, 44100]))
def test_streaming_equals_one_call(sizes, rate):
    messages = [on(60, 0.01), on(67, 0.1003), control(1, 80, 0.2), off(60, 0.3), on(72, 0.31), off(67, 0.4)]
    total = round(0.6 * rate)
    instrument = DDSP(timbre())
    whole = instrument(messages, 0.6, rate)
    instrument.reset()
    parts, at, i = [], 0, 0
    while at < total:
        size = min(sizes[i % len(sizes)], total - at)
        now = [m.copy(time=m.time - at / rate) for m in messages if at <= m.time * rate < at + size]
        parts.append(instrument(now, size / rate, rate, reset=False))
        at, i = at + size, i + 1
    assert np.abs(np.concatenate(parts, 1) - whole).max() < 1e-4 * np.abs(whole).max()


def test_call_of_pedalboard():
    instrument = DDSP(EVEN)
    assert instrument.is_instrument
    assert not instrument.is_effect
    assert instrument([], 0.1, RATE).shape == (2, 4800)
    assert not instrument([], 0.1, RATE).any()
    raw = instrument([(bytes([0x90, 60, 90]), 0.0), ([0x80, 60, 0], 0.3)], 0.5, RATE, num_channels=1)
    messages = instrument([off(60, 0.3), on(60, 0.0)], 0.5, RATE, num_channels=1)
    assert np.array_equal(raw, messages)
    assert np.array_equal(instrument([on(60, 0)], 0.5, RATE, buffer_size=64), instrument([on(60, 0)], 0.5, RATE))


def test_wrong_calls():
    instrument = DDSP(EVEN)
    with pytest.raises(TypeError, match="mido messages"):
        instrument([60], 1.0, RATE)
    with pytest.raises(NeuralFXError, match="not a MIDI message"):
        instrument([(b"\x90", 0.0)], 1.0, RATE)
    with pytest.raises(ValueError, match="duration"):
        instrument([], -1, RATE)
    with pytest.raises(ParameterError, match="did you mean 'vibrato'"):
        DDSP(EVEN, vibratto=1)
    with pytest.raises(NeuralFXError, match="bundled"):
        DDSP("kazoo")


def test_panic_and_all_notes_off():
    audio = DDSP(EVEN)([on(60, 0), on(64, 0), control(123, 0, 0.3)], 1.5, RATE)[0]
    assert np.abs(audio[60000:]).max() < 1e-3
