import threading

import mido
import numpy as np
import pytest

from instruments import DDSP
from instruments.arrangement import Part
from instruments.balance import Balance
from instruments.mixing import pan, perform, render_channels
from instruments.song import Song
from tests.neural_fx.timbre.makers import timbre

EVEN = timbre(spread=0)
RATE = 16000


def position(value, time):
    return mido.Message("control_change", control=10, value=value, time=time)


def music(channels=3, seconds=5.0):
    def messages(channel):
        return [
            mido.Message("note_on", note=60 + channel, velocity=90, channel=channel),
            mido.Message("note_off", note=60 + channel, channel=channel, time=seconds),
        ]

    return Song({channel: messages(channel) for channel in range(channels)}, {}, seconds)


def parts(song):
    return {channel: [Part(channel, DDSP(EVEN), song.channels[channel])] for channel in song.channels}


def test_a_pan_that_moves_has_equal_power_and_no_steps():
    mono = np.ones(4 * RATE, np.float32)
    left, right = pan(mono, [position(20, 0.5), position(127, 1.0), position(0, 2.5)], RATE)
    np.testing.assert_allclose(left**2 + right**2, 2, rtol=1e-5)
    angle = np.arctan2(right, left) / (np.pi / 2) * 127
    assert angle[0] == pytest.approx(20, abs=0.01), "the first value counts from the beginning"
    assert angle[int(0.9 * RATE)] == pytest.approx(20, abs=0.01)
    assert angle[int(1.1 * RATE)] == pytest.approx(127, abs=0.01)
    assert angle[-1] == pytest.approx(0, abs=0.01)
    assert np.abs(np.diff(left)).max() < 0.01


def test_a_channel_in_the_middle_is_not_changed():
    mono = np.linspace(-1, 1, 100, dtype=np.float32)
    np.testing.assert_allclose(pan(mono, [], RATE), [mono, mono], rtol=1e-6)


def test_the_result_does_not_depend_on_the_threads():
    song = music()
    one = list(render_channels(song, parts(song), RATE))
    many = list(render_channels(song, parts(song), RATE, jobs=3))
    assert [channel for channel, _ in one] == [channel for channel, _ in many] == [0, 1, 2]
    for (_, first), (_, second) in zip(one, many, strict=True):
        np.testing.assert_array_equal(first, second)
    mix = perform(song, {channel: DDSP(EVEN) for channel in song.channels}, RATE)
    np.testing.assert_allclose(mix, sum(audio for _, audio in one), atol=1e-6)


def test_the_balance_is_a_gain():
    song = music(1)
    ((_, plain),) = render_channels(song, parts(song), RATE)
    louder = {0: [Part(0, DDSP(EVEN), song.channels[0], Balance(6.0))]}
    ((_, audio),) = render_channels(song, louder, RATE)
    np.testing.assert_allclose(audio, plain * 10 ** (6 / 20), rtol=1e-4, atol=1e-7)


def test_every_second_of_every_part_is_reported():
    song = music(2)
    reported = []
    list(render_channels(song, parts(song), RATE, reported.append, jobs=2))
    assert sum(reported) == pytest.approx(2 * 7.0)


def test_an_error_stops_the_other_threads():
    song = music(4, seconds=600.0)
    reported = []

    def stop(seconds):
        reported.append(seconds)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(render_channels(song, parts(song), RATE, stop, jobs=2))
    assert len(reported) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("song")]
