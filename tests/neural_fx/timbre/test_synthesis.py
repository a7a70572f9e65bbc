import numpy as np
import pytest

from neural_fx.engines import cpu
from neural_fx.timbre import synthesis
from neural_fx.timbre.analysis import HOP, RATE, analyze
from neural_fx.timbre.synthesis import BANDS, TAPS
from neural_fx.timbre.synthesizer import Score, Synthesizer
from tests.neural_fx.timbre.makers import timbre


@pytest.fixture(params=["kernels", "numpy"])
def either(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(cpu, "core", None)
    elif not cpu.available():
        pytest.skip("the kernels were not built")


def test_phase_is_the_sum_of_the_frequency():
    f0 = np.random.default_rng(0).uniform(100, 900, (2, 9))
    phases, after = synthesis.turns(f0, np.array([0.25, 0.5]))
    hz = np.stack([np.interp(np.arange(8 * HOP), np.arange(9) * HOP, row) for row in f0])
    expected = np.cumsum(hz, 1) / RATE - hz / RATE + [[0.25], [0.5]]
    assert np.abs(np.exp(2j * np.pi * phases) - np.exp(2j * np.pi * expected)).max() < 1e-9
    assert np.abs(np.exp(2j * np.pi * after) - np.exp(2j * np.pi * (expected[:, -1] + hz[:, -1] / RATE))).max() < 1e-9


@pytest.mark.usefixtures("either")
def test_harmonics_are_a_sum_of_sines():
    rng = np.random.default_rng(0)
    f0, amplitudes = rng.uniform(100, 200, (2, 6)), rng.random((2, 6, 90), np.float32)
    phases, _ = synthesis.turns(f0, np.zeros(2))
    audio = synthesis.harmonics(phases, amplitudes)
    expected = np.zeros(phases.shape)
    for k in range(90):
        level = [np.interp(np.arange(5 * HOP), np.arange(6) * HOP, row) for row in amplitudes[..., k]]
        expected += np.array(level) * np.sin(2 * np.pi * (k + 1) * phases)
    assert np.abs(audio - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.usefixtures("either")
def test_adjoint_of_the_harmonics():
    rng = np.random.default_rng(0)
    phases, _ = synthesis.turns(rng.uniform(100, 200, (2, 6)), np.zeros(2))
    x, y = rng.random((2, 6, 31), np.float32), rng.normal(size=(2, 5 * HOP)).astype(np.float32)
    there = np.vdot(synthesis.harmonics(phases, x), y)
    back = np.vdot(x, synthesis.harmonics_adjoint(phases, y, 31))
    assert there == pytest.approx(back, rel=1e-4)


def test_harmonics_above_the_nyquist_frequency_are_silent():
    playing = Synthesizer((timbre(spread=0, harmonics=60),))
    frames = 200
    score = Score(np.full((1, frames), 1900.0), np.ones((1, frames)), np.full((1, frames), -20.0))
    audio = playing.process(score)[0][4096 : 4096 + 32768]
    spectrum = np.abs(np.fft.rfft(audio * np.blackman(len(audio)))) ** 2
    hz = np.fft.rfftfreq(len(audio), 1 / RATE)
    near = np.zeros(len(hz), bool)
    for k in range(1, 13):
        near |= np.abs(hz - 1900 * k) < 20
    tonal = ~near & (spectrum > spectrum.max() * 1e-7)
    folded = [RATE - 1900 * k for k in range(13, 25)]
    assert not any(tonal[np.abs(hz - f) < 20].any() for f in folded)


@pytest.mark.usefixtures("either")
def test_even_noise_magnitudes_only_delay():
    white = np.random.default_rng(0).uniform(-1, 1, (1, 4, HOP)).astype(np.float32)
    audio, tail = synthesis.filtered_noise(np.ones((1, 4, BANDS), np.float32), white, np.zeros((1, TAPS), np.float32))
    expected = np.concatenate((np.zeros(TAPS // 2), white.ravel()))
    assert np.abs(np.concatenate((audio[0], tail[0]))[: len(expected)] - expected).max() < 1e-5


@pytest.mark.usefixtures("either")
def test_noise_hop_by_hop_is_the_noise_at_once():
    rng = np.random.default_rng(0)
    magnitudes, white = rng.random((2, 6, BANDS), np.float32), rng.normal(size=(2, 6, HOP)).astype(np.float32)
    whole, end = synthesis.filtered_noise(magnitudes, white, np.zeros((2, TAPS), np.float32))
    tail, parts = np.zeros((2, TAPS), np.float32), []
    for k in range(6):
        part, tail = synthesis.filtered_noise(magnitudes[:, k : k + 1], white[:, k : k + 1], tail)
        parts.append(part)
    assert np.abs(np.concatenate(parts, 1) - whole).max() < 1e-6
    assert np.abs(tail - end).max() < 1e-6


@pytest.mark.parametrize("hz", [110.0, 440.0, 1500.0])
def test_a_timbre_is_as_loud_as_it_is_asked_to_be(hz):
    frames = 250
    score = Score(np.full((1, frames), hz), np.ones((1, frames)), np.full((1, frames), -30.0))
    audio = Synthesizer((timbre(spread=0),)).process(score)[0]
    assert np.abs(analyze(audio, RATE, "live").loudness_db[40:-20] + 30).max() < 0.3


def test_silence_is_silent():
    score = Score(np.full((1, 50), 220.0), np.ones((1, 50)), np.full((1, 50), -100.0))
    assert not Synthesizer((timbre(),)).process(score).any()


def test_brightness_tilts_without_making_louder():
    frames = 250
    outputs = []
    for brightness in (-6.0, 0.0, 6.0):
        score = Score(
            np.full((1, frames), 220.0), np.ones((1, frames)), np.full((1, frames), -30.0), brightness=brightness
        )
        outputs.append(Synthesizer((timbre(spread=0),)).process(score)[0])
    centroids = [_centroid(audio) for audio in outputs]
    assert centroids[0] < 0.8 * centroids[1] < 0.8 * 0.8 * centroids[2]
    loud = [analyze(audio, RATE, "live").loudness_db[100] for audio in outputs]
    assert np.ptp(loud) < 1


def test_morphing_ends_at_both_timbres():
    frames = 100
    pair = (timbre(1, harmonics=40), timbre(2, harmonics=30))
    base = [np.full((1, frames), v) for v in (220.0, 1.0, -30.0)]
    ends = [Synthesizer((one,)).process(Score(*base)) for one in pair]
    for morph, end in zip((0.0, 1.0), ends):
        mixed = Synthesizer(pair).process(Score(*base, morph=morph))
        assert np.abs(mixed - end).max() < 2e-3 * np.abs(end).max()
    between = Synthesizer(pair).process(Score(*base, morph=0.5))
    assert all(np.abs(between - end).max() > 0.02 * np.abs(end).max() for end in ends)


def _centroid(audio):
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    return np.sum(spectrum * np.fft.rfftfreq(len(audio), 1 / RATE)) / spectrum.sum()
