import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_fx import Pedalboard
from neural_fx.errors import NeuralFXError, ParameterError
from neural_fx.timbre import TimbreTransfer, analyze
from neural_fx.timbre.analysis import RATE
from neural_fx.timbre.files import Habits
from tests.neural_fx.timbre.makers import timbre, tone

PHRASE = np.concatenate((tone(330, 0.5), np.zeros(4000, np.float32), tone(392, 0.4), tone(262, 0.4)))
EVEN = timbre(spread=0)


def streamed(effect, audio, rate, sizes):
    effect.reset()
    parts, at, i = [], 0, 0
    while at < audio.shape[-1]:
        size = sizes[i % len(sizes)]
        parts.append(effect(audio[..., at : at + size], rate, reset=False))
        at, i = at + size, i + 1
    return np.concatenate([*parts, effect.flush()], -1)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 2500), min_size=1, max_size=4), st.sampled_from([48000, 44100]))
def test_streaming_equals_offline(sizes, rate):
    effect = TimbreTransfer(timbre(), morph_to=timbre(3), morph=0.3)
    audio = PHRASE[:30000]
    whole = effect(audio, rate)
    assert whole.shape == audio.shape
    assert np.abs(streamed(effect, audio, rate, sizes) - whole).max() < 1e-4 * np.abs(whole).max()


@pytest.mark.parametrize("rate", [48000, 44100, 96000])
def test_latency_is_what_is_held_back(rate):
    effect = TimbreTransfer(EVEN)
    taken = given = most = 0
    for _ in range(60):
        given += effect(np.zeros(97, np.float32), rate, reset=False).shape[-1]
        taken += 97
        most = max(most, taken - given)
    assert most <= effect.latency_samples
    assert effect.latency_samples <= 0.032 * rate


def test_output_is_in_time_and_in_tune():
    found, asked = (analyze(x, RATE, "live") for x in (TimbreTransfer(EVEN)(PHRASE, RATE), PHRASE))
    sure = (asked.confidence > 0.95) & (asked.loudness_db > -40)
    cents = np.abs(1200 * np.log2(found.f0_hz / asked.f0_hz))[sure]
    assert (cents < 50).mean() > 0.97
    both = (asked.loudness_db > -60) & (found.loudness_db > -60)
    assert np.corrcoef(asked.loudness_db[both], found.loudness_db[both])[0, 1] > 0.95


def test_silence_stays_silent():
    assert not TimbreTransfer(timbre())(np.zeros((2, 20000), np.float32), RATE).any()


def test_every_layout_and_channel():
    effect = TimbreTransfer(EVEN)
    mono = effect(PHRASE, RATE)
    stereo = effect(np.stack((PHRASE, PHRASE)), RATE)
    assert stereo.shape == (2, len(PHRASE))
    assert np.abs(stereo - mono).max() < 1e-6
    assert effect(np.stack((PHRASE, PHRASE), 1), RATE).shape == (len(PHRASE), 2)


def test_mix_zero_is_the_input():
    assert np.array_equal(TimbreTransfer(timbre(), mix=0)(PHRASE, RATE), PHRASE)


@pytest.mark.parametrize(("knob", "value", "octaves"), [("octave", 1, 1.0), ("octave", -1, -1.0)])
def test_octave(knob, value, octaves):
    signal = tone(440, 0.6)
    heard = analyze(TimbreTransfer(EVEN, **{knob: value})(signal, RATE), RATE, "live")
    assert np.median(np.log2(heard.f0_hz[30:-30] / 440)) == pytest.approx(octaves, abs=0.01)


def test_the_register_is_met_by_octaves():
    low = timbre(spread=0, habits=Habits(65, 300))
    notes = np.concatenate((tone(880, 0.5), np.zeros(RATE // 4, np.float32), tone(784, 0.5)))
    heard = analyze(TimbreTransfer(low)(notes, RATE), RATE, "live").f0_hz
    assert np.median(heard[15:45]) == pytest.approx(880, rel=0.01)  # until a fifth of a second was heard
    octaves = np.log2(np.median(heard[210:290]) / 784)
    assert octaves == pytest.approx(round(octaves), abs=0.01)
    assert octaves <= -2
    plain = analyze(TimbreTransfer(low, adjust=0)(tone(880, 0.6), RATE), RATE, "live")
    assert np.median(plain.f0_hz[30:-30]) == pytest.approx(880, rel=0.01)


def test_pitch_correction_and_vibrato():
    t = np.arange(2 * RATE) / RATE
    off_key = 440 * 2 ** ((0.3 + 0.2 * np.sin(2 * np.pi * 6 * t)) / 12)  # 30 cents sharp, 20 cents of vibrato

    def heard(**knobs):
        found = analyze(TimbreTransfer(EVEN, **knobs)(tone(off_key, 2), RATE), RATE, "live")
        cents = 1200 * np.log2(found.f0_hz[100:-60] / 440)
        return cents.mean(), cents.std() * np.sqrt(2)

    assert heard()[0] == pytest.approx(30, abs=3)
    assert heard()[1] == pytest.approx(20, abs=3)
    assert heard(pitch_correct=1)[0] == pytest.approx(0, abs=4)
    assert heard(vibrato=0)[1] < 5
    assert heard(vibrato=2)[1] / heard()[1] == pytest.approx(2, abs=0.2)


def test_loudness_breath_and_reverb():
    signal = tone(440, 0.6)
    base = TimbreTransfer(timbre(), reverb=0)(signal, RATE)
    louder = TimbreTransfer(timbre(), reverb=0, loudness_db=6)(signal, RATE)
    levels = [analyze(x, RATE, "live").loudness_db[60] for x in (base, louder)]
    assert levels[1] - levels[0] == pytest.approx(6, abs=1.5)
    assert np.abs(TimbreTransfer(timbre(), reverb=0, breath=0)(signal, RATE) - base).max() > 0
    assert np.abs(TimbreTransfer(timbre(), reverb=1)(signal, RATE) - base).max() > 0


def test_knobs_turn_without_a_click():
    effect = TimbreTransfer(EVEN)
    signal = tone(440, 1.0)
    first = effect(signal[:24000], RATE, reset=False)
    effect.brightness, effect.mix = 6, 0.5
    second = effect(signal[24000:], RATE, reset=False)
    both = np.concatenate((first, second))
    steps = np.abs(np.diff(both))
    around = slice(len(first) - 500, len(first) + 3000)
    assert steps[around].max() < 1.5 * steps[5000:20000].max()


def test_noise_does_not_sing():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    out = TimbreTransfer(EVEN)(noise, RATE)
    assert np.sqrt(np.mean(out**2)) < np.sqrt(np.mean(noise**2))
    assert analyze(out, RATE, "live").voiced.mean() < 0.1


def test_level_of_the_input_is_kept_at_any_level():
    quiet, loud = (TimbreTransfer(EVEN)(tone(440, 0.8, level), RATE) for level in (0.01, 0.3))
    got = [analyze(x, RATE, "live").loudness_db[100] for x in (quiet, loud)]
    asked = [analyze(tone(440, 0.8, level), RATE, "live").loudness_db[100] for level in (0.01, 0.3)]
    assert np.abs(np.subtract(got, asked)).max() < 1


def test_recovers_from_what_is_no_number():
    signal = tone(440, 1.0)
    broken = signal.copy()
    broken[5000:5010] = np.nan
    out = TimbreTransfer(EVEN)(broken, RATE)
    assert np.isfinite(out).all()
    assert analyze(out, RATE, "live").confidence[120:200].min() > 0.9


def test_stands_in_a_board():
    board = Pedalboard([TimbreTransfer(EVEN)])
    assert board(PHRASE, RATE).shape == PHRASE.shape


def test_unknown_names():
    with pytest.raises(NeuralFXError, match="did you mean violin"):
        TimbreTransfer("violn")
    with pytest.raises(NeuralFXError, match="cannot be read"):
        TimbreTransfer("nowhere/violin.safetensors")
    with pytest.raises(ParameterError, match="vibrato"):
        TimbreTransfer(EVEN, vibrat=1)
