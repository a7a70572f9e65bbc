import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_fx.audio import read_audio
from neural_fx.engines import cpu
from neural_fx.timbre import analysis
from neural_fx.timbre.analysis import HOP, RATE, Analyzer, a_weight, analyze
from tests.conftest import SHARED
from tests.neural_fx.timbre.makers import tone


@pytest.mark.parametrize("hz", [65.4, 98.0, 196.0, 440.0, 987.8, 2000.0])
def test_pitch_of_a_tone_within_two_cents(hz):
    found = analyze(tone(hz), RATE, "live")
    settled = slice(20, -20)
    assert np.abs(1200 * np.log2(found.f0_hz[settled] / hz)).max() < 2
    assert found.confidence[settled].min() > 0.95


def test_pitch_without_its_fundamental():
    turns = 150.0 * np.arange(RATE) / RATE
    signal = 0.1 * np.sum([np.sin(2 * np.pi * k * turns) for k in range(2, 9)], 0)
    assert np.abs(analyze(signal, RATE, "live").f0_hz[20:-20] - 150).max() < 0.5


def test_pitch_follows_a_glide():
    hz = 220 * 2 ** (np.arange(2 * RATE) / RATE)
    found = analyze(tone(hz, 2), RATE, "live")
    times = np.arange(len(found.f0_hz)) * HOP
    cents = 1200 * np.log2(found.f0_hz[20:-20] / hz[times[20:-20]])
    assert np.abs(cents).max() < 10


def test_a_weighting_is_that_of_the_standard():
    # IEC 61672-1, table 3, in dB
    table = {31.5: -39.4, 100: -19.1, 250: -8.6, 500: -3.2, 1000: 0.0, 2000: 1.2, 4000: 1.0, 8000: -1.1, 16000: -6.6}
    found = 10 * np.log10(a_weight(np.array(list(table))))
    assert np.abs(found - list(table.values())).max() < 0.15


@pytest.mark.parametrize("hz", [200.0, 1000.0, 5000.0])
def test_loudness_of_a_sine(hz):
    signal = 0.1 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)
    expected = -23.01 + 10 * np.log10(a_weight(np.array(hz)))
    assert np.abs(analyze(signal, RATE, "live").loudness_db[10:-10] - expected).max() < 0.1


def test_silence_and_noise_have_no_pitch():
    silent = analyze(np.zeros(RATE), RATE, "live")
    assert (silent.confidence == 0).all()
    assert (silent.loudness_db == analysis.SILENCE_DB).all()
    noise = analyze(np.random.default_rng(0).normal(0, 0.1, RATE), RATE, "live")
    assert noise.voiced.mean() < 0.02


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=3, max_size=12))
def test_frames_do_not_depend_on_the_cuts(sizes):
    signal = tone(300 + 50 * np.sin(np.arange(sum(sizes)) / 2000), sum(sizes) / RATE).astype(np.float64)
    whole = Analyzer().process(signal)
    analyzer, parts, at = Analyzer(), [], 0
    for size in sizes:
        parts.append(analyzer.process(signal[at : at + size]))
        at += size
    for i in range(3):
        assert np.allclose(np.concatenate([tuple(p)[i] for p in parts]), tuple(whole)[i], rtol=0, atol=1e-9)


def test_frames_come_as_soon_as_promised():
    analyzer = Analyzer()
    assert len(analyzer.process(np.zeros(analysis.WINDOW // 2 - 1)).f0_hz) == 0
    assert len(analyzer.process(np.zeros(1)).f0_hz) == 1
    assert len(analyzer.process(np.zeros(HOP)).f0_hz) == 1


@pytest.mark.skipif(not cpu.available(), reason="the kernels were not built")
def test_kernels_find_what_numpy_finds(monkeypatch):
    rng = np.random.default_rng(1)
    signal = tone(200 + 100 * np.sin(np.arange(RATE) / 9000)) + rng.normal(0, 0.02, RATE)
    compiled = analyze(signal, RATE, "live")
    monkeypatch.setattr(cpu, "core", None)
    plain = analyze(signal, RATE, "live")
    assert np.abs(1200 * np.log2(compiled.f0_hz / plain.f0_hz)).max() < 0.1
    assert np.abs(compiled.confidence - plain.confidence).max() < 1e-4


def test_offline_agrees_with_live_where_both_are_sure():
    pytest.importorskip("swift_f0")
    rng = np.random.default_rng(0)
    hz = 330 * 2 ** (np.sin(np.arange(3 * RATE) / 20000) / 6)
    signal = tone(hz, 3) + rng.normal(0, 0.01, 3 * RATE)
    found = analyze(signal, RATE)
    times = np.minimum(np.arange(len(found.f0_hz)) * HOP, len(hz) - 1)
    cents = np.abs(1200 * np.log2(found.f0_hz / hz[times]))[20:-20]
    assert np.median(cents) < 3
    assert (cents < 50).mean() > 0.99


@pytest.mark.parametrize(("phrase", "least"), [("vocadito_10", 0.97), ("singing-female", 0.99), ("violin-B3", 0.99)])
def test_live_pitch_of_real_phrases_is_that_of_swift_f0(phrase, least):
    pytest.importorskip("swift_f0")
    path = SHARED / f"audio/phrases/{phrase}.flac"
    if not path.exists():
        pytest.skip("no shared audio")
    audio, rate = read_audio(path)
    offline, live = analyze(audio, rate), analyze(audio, rate, "live")
    sure = (offline.confidence > 0.8) & (offline.loudness_db > -60)
    assert (np.abs(1200 * np.log2(live.f0_hz / offline.f0_hz))[sure] < 50).mean() >= least


def test_other_rates_and_channels():
    found = analyze(np.stack([tone(440, rate=44100)] * 2), 44100, "live")
    assert np.abs(found.f0_hz[20:-20] - 440).max() < 0.5
    with pytest.raises(ValueError, match="offline, live"):
        analyze(np.zeros(100), RATE, "fast")


def test_command_and_plot(tmp_path):
    pytest.importorskip("matplotlib")
    import json

    import soundfile
    from typer.testing import CliRunner

    from bridge.cli import app

    soundfile.write(tmp_path / "a.wav", tone(440, 0.5), RATE)
    run = CliRunner().invoke
    done = run(app, ["analyze", str(tmp_path / "a.wav"), "--method", "live"])
    rows = done.output.splitlines()
    assert rows[0] == "seconds,f0_hz,confidence,loudness_db"
    assert abs(float(rows[60].split(",")[1]) - 440) < 1
    done = run(
        app, ["analyze", str(tmp_path / "a.wav"), "--method", "live", "--plot", str(tmp_path / "a.png"), "--json"]
    )
    assert (tmp_path / "a.png").stat().st_size > 5000
    assert len(json.loads(done.stdout)["f0_hz"]) == 126
