import re

import numpy as np
import pytest
import soundfile
import torch

from bridge.cli import app
from neural_fx.errors import TrainingError
from neural_fx.timbre.analysis import HOP, RATE, Analysis, analyze
from neural_fx.timbre.decoder import Shape
from neural_fx.timbre.files import read_timbre
from neural_fx.training.timbre.evaluate import excerpts, measure, resynthesise
from neural_fx.training.timbre.export import save_timbre
from neural_fx.training.timbre.habits import find_habits
from neural_fx.training.timbre.loop import Settings, Trainer
from neural_fx.training.timbre.model import Harmonics, bank, loudness_loss, spectral_loss
from neural_fx.training.timbre.recordings import Segments, Solo, find, load, split
from tests.neural_fx.timbre.makers import tone

SHAPE = Shape(16, 24, 600)
SETTINGS = Settings(minutes=0.05, seconds=0.5, batch=4, threads=1, validate_every=5)


def note(hz, seconds=1.2, attack=0.08, level=0.2, vibrato=0.0):
    t = np.arange(round(seconds * RATE)) / RATE
    rise = np.minimum(1, (t / attack) ** 2) * np.minimum(1, np.exp(-(t - seconds + 0.2) * 30))
    swing = hz * 2 ** (vibrato / 1200 * np.sin(2 * np.pi * 5.5 * t))
    return (tone(swing, seconds, level, 8) * rise).astype(np.float32)


def recordings(count=3):
    solos = []
    for i in range(count):
        audio = np.concatenate([note(hz * 1.06**i) for hz in (220, 330, 440)])
        solos.append(Solo(f"r{i}", audio, analyze(audio, RATE, "live")))
    return solos


@pytest.fixture(scope="module")
def solos():
    return recordings()


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "solo"
    place.mkdir()
    for i, solo in enumerate(recordings(2)):
        soundfile.write(place / f"{i}.wav", solo.audio, RATE)
    return place


def test_gradient_of_the_bank_is_that_of_torch():
    rng = np.random.default_rng(0)
    phases = torch.from_numpy(rng.random((2, 4 * HOP)))
    amplitudes = torch.rand(2, 5, 7, requires_grad=True)
    weights = torch.randn(2, 4 * HOP)
    (Harmonics.apply(phases, amplitudes) * weights).sum().backward()
    found, amplitudes.grad = amplitudes.grad, None
    at = torch.arange(4 * HOP)
    low, share = at // HOP, (at % HOP) / HOP
    level = amplitudes[:, low] * (1 - share)[:, None] + amplitudes[:, low + 1] * share[:, None]
    numbers = torch.arange(1, 8, dtype=torch.float64)
    sines = torch.sin(2 * np.pi * phases[..., None] * numbers).float()
    ((level * sines).sum(-1) * weights).sum().backward()
    assert torch.allclose(found, amplitudes.grad, atol=1e-4 * float(amplitudes.grad.abs().max()))


def test_bank_for_a_gpu_is_the_bank():
    phases, amplitudes = torch.from_numpy(np.random.default_rng(0).random((2, 4 * HOP))), torch.rand(2, 5, 7)
    expected = Harmonics.apply(phases, amplitudes)
    assert torch.allclose(bank(phases, amplitudes), expected, atol=1e-4 * float(expected.abs().max()))


def test_losses():
    x = torch.randn(1, 8192) * 0.1
    assert spectral_loss(x, x).item() == 0
    assert spectral_loss(x, 0.5 * x).item() > 1
    assert loudness_loss(0.5 * x, x).item() == pytest.approx(6.02, abs=0.02)


def test_learns(solos):
    trainer = Trainer(SHAPE, solos, SETTINGS)
    first = trainer._validate(0, 0).validation
    for _ in range(60):
        trainer._step(np.random.default_rng(trainer.step), 0.3)
    assert trainer._validate(0.3, 0).validation < 0.75 * first


def test_resumes_where_it_was(solos, tmp_path):
    trainer = Trainer(SHAPE, solos, SETTINGS)
    for _ in range(3):
        trainer._step(np.random.default_rng(0), 0.1)
    trainer._validate(0.1, 0)
    trainer.save(tmp_path / "x.ckpt")
    other = Trainer(SHAPE, solos, SETTINGS)
    other.load(tmp_path / "x.ckpt")
    losses = [t._step(np.random.default_rng(1), 0.1) for t in (trainer, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert other.step == 4
    (tmp_path / "x.ckpt").write_bytes(b"no")
    with pytest.raises(TrainingError, match="checkpoint"):
        other.load(tmp_path / "x.ckpt")


def test_saved_timbre_plays_as_the_model(solos, tmp_path):
    trainer = Trainer(SHAPE, solos, SETTINGS)
    for _ in range(5):
        trainer._step(np.random.default_rng(0), 0.1)
    trainer._validate(0.1, 0)
    save_timbre(tmp_path / "x.safetensors", trainer, solos, "mine")
    timbre = read_timbre(tmp_path / "x.safetensors")
    piece = excerpts(trainer.held_out, 0.4)[0]
    played = resynthesise(timbre, piece.analysis)
    # The player rises to the first frame over a hop of its own; so does the model with that frame twice.
    twice = (np.insert(np.asarray(p, np.float32), 0, p[0]) for p in piece.analysis)
    white = 2 * np.random.default_rng(0).random((1, len(piece.analysis.f0_hz), HOP), np.float32) - 1
    with torch.no_grad():
        model = trainer.model(*(torch.from_numpy(p)[None] for p in twice), torch.from_numpy(white))[0, HOP:].numpy()
    assert np.abs(played - model)[2000:].max() < 0.02 * np.abs(model).max()
    assert timbre.name == "mine"
    assert timbre.metadata["steps"] == 5
    found = measure([piece], [played])
    assert found.within_50_cents > 0.9
    assert measure([piece], [piece.audio]).spectral_loss == 0


def test_what_is_held_out_is_not_learned():
    many = [Solo(str(i), np.zeros(10), None) for i in range(40)]
    learned, held = split(many)
    assert len(held) == 5
    assert not {s.name for s in learned} & {s.name for s in held}
    flat = Analysis(np.full(1001, 220.0), np.ones(1001), np.zeros(1001))
    few = [Solo("a", np.arange(1000 * HOP), flat)]
    learned, held = split(few)
    assert learned[0].audio[-1] < held[0].audio[0]
    assert learned[0].frames + held[0].frames == 1000


def test_segments_are_played_ones(solos):
    audio = np.concatenate((np.zeros(2 * RATE, np.float32), solos[0].audio))
    solo = Solo("x", audio, analyze(audio, RATE, "live"))
    segments = Segments([solo], 100)
    signals, f0, *_ = segments.draw(np.random.default_rng(0), 20)
    assert signals.shape == (20, 100 * HOP)
    assert f0.shape == (20, 101)
    assert (np.abs(signals).max(1) > 0.01).all()
    with pytest.raises(TrainingError, match="record longer"):
        Segments([solo], 10000)


def test_habits_of_known_notes():
    audio = np.concatenate([note(hz, 1.5, attack=0.1, vibrato=20) for hz in (220, 277, 330, 392, 440)])
    solo = Solo("x", audio, analyze(audio, RATE, "live"))
    found = find_habits([solo])
    assert found.low_hz == pytest.approx(220, rel=0.06)
    assert found.high_hz == pytest.approx(440, rel=0.06)
    assert found.vibrato_hz == pytest.approx(5.5, abs=0.3)
    assert found.vibrato_cents == pytest.approx(20, abs=4)
    # from -20 to -3 dB of a squared rise: sqrt(0.708) - sqrt(0.1) of its length
    assert found.attack_seconds == pytest.approx(0.1 * (0.841 - 0.316), abs=0.025)
    assert found.release_db_per_second == pytest.approx(30 * 8.686, rel=0.35)


def test_recordings_are_found_and_their_analysis_kept(folder, tmp_path):
    pytest.importorskip("swift_f0")
    soundfile.write(folder / "mine-sample-1-played.flac", np.zeros(100), RATE)
    files = find(folder)
    assert [p.name for p in files] == ["0.wav", "1.wav"]
    first = load(files, tmp_path / "kept")
    again = load(files, tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert np.array_equal(first[0].analysis.f0_hz, again[0].analysis.f0_hz)
    with pytest.raises(TrainingError, match="no audio files"):
        find(tmp_path / "kept")


def run(*arguments):
    from typer.testing import CliRunner

    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_command(folder, tmp_path):
    pytest.importorskip("swift_f0")
    pytest.importorskip("matplotlib")
    out = tmp_path / "mine.safetensors"
    done = run("train-timbre", folder, "-o", out, "--minutes", 0.02, "--hidden", 8, "--batch", 2, "--reverb", 0.05)
    assert done.exit_code == 0, done.output
    assert read_timbre(out).name == "mine"
    for suffix in (".html", ".png"):
        assert out.with_suffix(suffix).stat().st_size > 1000
    page = out.with_suffix(".html").read_text()
    played = re.findall(r'<audio controls preload="none" src="([^"]+)"', page)
    assert {"mine-sample-1-recorded.flac", "mine-sample-1-played.flac"} <= set(played)
    assert all(soundfile.info(tmp_path / name).samplerate == RATE for name in played)
    assert re.search(r"too short: \d+ steps? in .*; train for \d+ minutes? \(--minutes \d+\)", page)
    assert "hardly learned" not in page
    again = run("train-timbre", folder, "-o", out, "--minutes", 0.02)
    assert "exists already" in str(again.exception)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "-o", "x.safetensors"), "no such folder"),
        ((".", "-o", "x.nam"), "safetensors"),
        ((".", "-o", "nowhere/x.safetensors"), "no such folder"),
    ],
)
def test_command_refuses(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in str(run("train-timbre", *arguments).exception)


def test_recordings_without_a_tone(tmp_path):
    pytest.importorskip("swift_f0")
    soundfile.write(tmp_path / "hiss.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    with pytest.raises(TrainingError, match="no pitch"):
        load(find(tmp_path))
