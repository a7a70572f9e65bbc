from __future__ import annotations

import numpy as np
import pytest

from neural_fx.networks.autoregressive.conditions import frame_conditions, phase_conditions, running_cycles
from neural_fx.networks.autoregressive.sampling import Uniform, draw_classes, draw_logistics
from neural_fx.networks.autoregressive.signal import Signal

SIGNAL = Signal()


def tone(seconds: float = 0.5, hz: float = 220.0) -> np.ndarray:
    t = np.arange(int(seconds * SIGNAL.rate)) / SIGNAL.rate
    return sum(np.sin(2 * np.pi * hz * k * t + k) / k for k in range(1, 20)) * 0.1


def test_every_class_survives_the_round_trip() -> None:
    classes = np.arange(1, SIGNAL.levels)
    np.testing.assert_array_equal(SIGNAL.encode(SIGNAL.decode(classes)), classes)


def test_silence_is_exact() -> None:
    assert SIGNAL.encode(np.zeros(1))[0] == SIGNAL.zero
    assert SIGNAL.decode(np.array([SIGNAL.zero]))[0] == 0


def test_samples_beyond_the_peak_are_clipped() -> None:
    assert SIGNAL.encode(np.array([-100.0, 100.0])).tolist() == [1, 255]


def test_emphasis_is_undone() -> None:
    audio = tone()
    np.testing.assert_allclose(SIGNAL.deemphasized(SIGNAL.emphasized(audio)), audio, atol=1e-11)


def test_packed_samples_have_unit_level_and_unpack() -> None:
    audio = tone() * np.geomspace(1, 1e-3, 12000)
    levels = SIGNAL.measured_levels(SIGNAL.emphasized(audio))
    packed = SIGNAL.pack(audio, levels)
    assert np.sqrt(np.mean(packed[2400:9600] ** 2)) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(SIGNAL.unpack(packed, levels), audio, atol=1e-11)


def test_noise_of_the_classes_is_40_db_below_the_signal() -> None:
    audio = tone()
    levels = SIGNAL.measured_levels(SIGNAL.emphasized(audio))
    packed = SIGNAL.pack(audio, levels)
    noise = SIGNAL.unpack(SIGNAL.decode(SIGNAL.encode(packed)), levels) - audio
    assert 10 * np.log10(np.mean(audio**2) / np.mean(noise**2)) > 40


def test_the_phase_runs_at_the_pitch() -> None:
    cycles = running_cycles(np.full(100, 240.0), SIGNAL, 5000, start=0.25)
    np.testing.assert_allclose(cycles, 0.25 + 0.01 * np.arange(5000), atol=1e-9)
    channels = phase_conditions(cycles, (1, 2))
    np.testing.assert_allclose(channels[25], [0, -1, 0, 1], atol=1e-6)


def test_frames_know_onset_and_release() -> None:
    since = np.array([-0.1, 0.0, 0.06])
    frames = frame_conditions(np.full(3, 523.26), np.full(3, -10.0), since, since)
    np.testing.assert_allclose(frames[:, 0], 1, atol=1e-6)
    np.testing.assert_allclose(frames[:, 1], 1, atol=1e-6)
    np.testing.assert_allclose(frames[:, 2], [0, 1, np.exp(-1)], atol=1e-6)
    np.testing.assert_allclose(frames[:, 3], [0, 0, 1 - np.exp(-0.6)], atol=1e-6)


def test_classes_are_drawn_by_their_probabilities() -> None:
    logits = np.log(np.array([0.1, 0.2, 0.7], np.float32))
    uniform = Uniform((3,)).draw(20000)[0]
    drawn = draw_classes(np.tile(logits, (20000, 1)), uniform)
    np.testing.assert_allclose(np.bincount(drawn) / 20000, [0.1, 0.2, 0.7], atol=0.01)
    assert draw_classes(logits[None], np.array([0.05]), temperature=0)[0] == 2
    assert draw_classes(logits[None], np.array([0.0]))[0] == 0
    assert draw_classes(logits[None], np.array([1 - 2**-24]))[0] == 2


def test_logistics_are_drawn_with_their_scale() -> None:
    parameters = np.tile(np.array([0.0, -50.0, 0.1, 0.9, np.log(0.01), -3], np.float32), (20000, 1))
    drawn = draw_logistics(parameters, Uniform((1,)).draw(40000).reshape(20000, 2))
    assert drawn.mean() == pytest.approx(0.1, abs=1e-3)
    assert drawn.std() == pytest.approx(0.01 * np.pi / np.sqrt(3), rel=0.03)


def test_voices_draw_independently_of_each_other() -> None:
    both, one = Uniform((5, 6)), Uniform((6,))
    together = np.concatenate((both.draw(3), both.draw(4)), axis=1)
    np.testing.assert_array_equal(together[1], one.draw(7)[0])
