"""How long a training was and should have been; what is kept meanwhile; what the report says and shows of it."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from neural_fx.errors import TrainingError
from neural_fx.training.advice import advice
from neural_fx.training.architectures import untrained
from neural_fx.training.course import Course, Due
from neural_fx.training.evaluate import play
from neural_fx.training.excerpts import lively_frames, loudest_stretch, stuck
from neural_fx.training.keeping import Keeper
from neural_fx.training.listening import common_gain, file_url, player
from neural_fx.training.loop import ENOUGH, Settings, Trainer
from neural_fx.training.pairs import Pair
from tests.neural_fx.training.test_training import device, guitarish, pair

BANDS = [(20.0, 100.0, 0.5), (100.0, 24000.0, 0.5)]
LEVELS = [(-60.0, -50.0, 50.0), (-50.0, -40.0, 1.0), (-40.0, -30.0, 1.0), (-30.0, -20.0, 0.5)]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_minutes_follow_from_the_pace() -> None:
    assert Course(99, 72.0).minutes_for(1200) == 15  # 14.5, rounded up
    assert Course(600, 60.0).minutes_for(1200) == 2
    assert Course(17, 19.0).minutes_for(1200) == 25
    assert Course(10, 600.0).minutes_for(1200) == 1200
    assert Course(0, 0.0).minutes_for(1200) == 1
    assert str(Course(99, 72.0)) == "99 steps in 1.2 minutes"
    assert str(Course(17, 19.0)) == "17 steps in 19 seconds"


def test_a_curve_that_falls_is_still_improving() -> None:
    falling = [(i, 10.0 * i, 1 / i) for i in range(1, 10)]
    flat = [(i, 10.0 * i, max(0.3, 1 / i)) for i in range(1, 10)]
    assert Course(9, 90.0, falling).improving()
    assert not Course(9, 90.0, flat).improving()
    assert not Course(9, 90.0).improving()


def test_a_short_training_is_not_blamed_on_the_recordings() -> None:
    short = advice(0.5, BANDS, LEVELS, Course(99, 72.0), ENOUGH)
    assert "Too short: 99 steps in 1.2 minutes. Train for 15 minutes (--minutes 15)." in short
    assert not re.search("noise|gate|latency|clip", " ".join(short))
    long = advice(0.5, BANDS, LEVELS, Course(5000, 600.0, [(1, 1.0, 0.5), (5000, 600.0, 0.5)]), ENOUGH)
    assert any("Check the recordings for noise, a gate, an echo or a wrong latency" in sentence for sentence in long)
    assert any("Much worse at low levels" in sentence for sentence in long)
    falling = Course(5000, 600.0, [(i, 60.0 * i, 1 / i) for i in range(1, 11)])
    assert any("still falling. Train for 20 minutes" in s for s in advice(0.1, BANDS, LEVELS, falling, ENOUGH))
    assert advice(0.001, BANDS, LEVELS, Course(99, 9.0), ENOUGH)[0].endswith("it cannot be told from the device.")
    assert not any("short" in s for s in advice(0.001, BANDS, LEVELS, Course(99, 9.0), ENOUGH))
    assert "is not a finite number" in advice(float("nan"), BANDS, LEVELS, Course(99, 9.0), ENOUGH)[0]


def test_enough_follows_the_size_of_a_step() -> None:
    assert Trainer(untrained("a1-nano"), pair(), Settings()).enough == ENOUGH
    half = Settings(window=4096)
    assert Trainer(untrained("a1-nano"), pair(), half).enough == 2 * ENOUGH


def test_due_by_time_and_by_cost() -> None:
    clock = Clock()
    due = Due(60, clock, part=0.1)
    assert not due()
    clock.now = 60
    assert due()
    due.done(cost=30)
    clock.now = 359
    assert not due()
    clock.now = 360
    assert due()


def test_a_checkpoint_is_written_every_minute_and_fails_in_one_sentence(tmp_path: Path) -> None:
    clock, written, sentences = Clock(), [], []
    full = True

    def save(path: Path) -> None:
        if full:
            raise OSError(28, "No space left on device")
        written.append(clock.now)

    keeper = Keeper(save, tmp_path / "x.ckpt", sentences.append, Due(60, clock))
    for clock.now in range(0, 300, 10):
        keeper()
    assert len(sentences) == 1
    assert "No space left on device" in sentences[0]
    assert "the training continues without it" in sentences[0]
    assert not keeper.kept
    full = False
    for clock.now in range(300, 600, 10):
        keeper()
    assert np.diff(written).max() <= 60
    assert keeper.kept
    assert len(sentences) == 1


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path) -> None:
    """Time is taken out of the learning rate, so that both runs have the same one."""
    settings = Settings(minutes=1e9, epochs=None, window=1024, batch=2, validate_every=1000, seed=7)

    def steps(trainer: Trainer, count: int) -> None:
        for _ in range(count):
            trainer._step(np.random.default_rng([trainer.seed, trainer.step]), 0.0)
        trainer.course.seconds += count

    whole = Trainer(untrained("a1-nano"), pair(), settings)
    steps(whole, 6)
    first = Trainer(untrained("a1-nano"), pair(), settings)
    steps(first, 3)
    first.validate()
    first.save(tmp_path / "x.ckpt")
    again = Trainer(untrained("a1-nano"), pair(), Settings(minutes=1e9, window=1024, batch=2, seed=1))
    (remark,) = again.load(tmp_path / "x.ckpt")
    assert "started with seed 7, not 1; continuing with the checkpoint's value" in remark
    assert (again.elapsed, again.course, again.best_esr) == (3, first.course, first.best_esr)
    steps(again, 3)
    for x, y in zip(whole.learner.parameters(), again.learner.parameters(), strict=True):
        np.testing.assert_allclose(x.detach(), y.detach(), atol=1e-6)


def test_run_draws_by_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(minutes=1000, epochs=0.1, window=2048, batch=4, seed=3)
    trainer = Trainer(untrained("a1-nano"), pair(), settings)
    drawn = []
    monkeypatch.setattr(trainer, "_step", lambda rng, fraction: (drawn.append(rng.integers(1000)), skip())[0] or 0.5)

    def skip() -> None:
        trainer.course.steps += 1

    trainer.run()
    assert drawn == [np.random.default_rng([3, step]).integers(1000) for step in range(trainer.step)]


def test_another_training_is_refused(tmp_path: Path) -> None:
    settings = Settings(window=1024, batch=2)
    Trainer(untrained("a1-nano"), pair(), settings).save(tmp_path / "x.ckpt")
    x = guitarish(8)
    masked = Pair(x, device(x), np.arange(len(x)) > 100, 48000)
    for network, recording, words in [
        (untrained("a1-nano"), pair(9), "recordings"),
        (untrained("a1-nano"), masked, "in mask;"),
        (untrained("a1-feather"), pair(), "architecture"),
        (untrained("lstm"), pair(), "architecture"),
    ]:
        with pytest.raises(TrainingError, match=rf"x\.ckpt: is the checkpoint of another training.*{words}"):
            Trainer(network, recording, settings).load(tmp_path / "x.ckpt")
    moved = Trainer(untrained("a1-nano", seed=5), pair(9), settings)
    assert moved.load(tmp_path / "x.ckpt", same_data=False) == []


def test_a_checkpoint_of_an_older_version_is_taken_with_a_remark(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    trainer = Trainer(untrained("a1-nano"), pair(), Settings(window=1024, batch=2))
    trainer._step(np.random.default_rng(0), 0.0)
    trainer.save(tmp_path / "x.ckpt")
    tensors = load_file(tmp_path / "x.ckpt")
    del tensors["course"]
    save_file(tensors, tmp_path / "old.ckpt")
    again = Trainer(untrained("a1-nano"), pair(9), Settings(window=1024, batch=2))
    (remark,) = again.load(tmp_path / "old.ckpt")
    assert "was written by an older version" in remark
    assert again.step == 1
    for header in ("[]", "{", '{"seed": "x"}'):
        save_file(tensors, tmp_path / "bad.ckpt", {"neural-fx-training": header})
        with pytest.raises(TrainingError, match=r"bad\.ckpt: is not a checkpoint"):
            again.load(tmp_path / "bad.ckpt")


# -- the report --------------------------------------------------------------------------------------------------------


def test_stuck_stretches_are_found() -> None:
    x = np.random.default_rng(0).standard_normal(48000)
    x[1000:1200] = 0.9
    x[5000:5004] = 0.9
    expected = np.zeros(48000, bool)
    expected[1000:1200] = True
    np.testing.assert_array_equal(stuck(x, 48000), expected)
    assert stuck(np.zeros(0), 48000).shape == (0,)


def faulty() -> Pair:
    """Stuck at full scale, then dead, then masked where it is loudest; the loudest of the rest is at 3.0 s."""
    x = np.random.default_rng(0).standard_normal(5 * 48000).astype(np.float32) * 0.01
    y = x.copy()
    y[48000:52800] = 1.0
    y[60000:64800] = 0.0
    y[96000:100800] *= 50
    y[144000:148800] *= 20
    usable = np.ones(len(x), bool)
    usable[95000:101000] = False
    return Pair(x, y, usable, 48000)


def test_the_loudest_example_is_neither_stuck_nor_masked() -> None:
    ordered = lively_frames(faulty(), 960)
    assert 144000 <= ordered[-1][0] <= 148800 - 960
    assert not np.isin(ordered, np.r_[48000:52800, 60000:64800, 95000:101000]).any()
    where = loudest_stretch(faulty(), 1.0)
    assert where.start <= 144000
    assert where.stop >= 148800
    flat = Pair(np.zeros(9600, np.float32), np.zeros(9600, np.float32), np.ones(9600, bool), 48000)
    assert len(lively_frames(flat, 960)) == 10
    assert loudest_stretch(flat, 1.0).stop <= 9600


def test_the_report_has_units_and_audio(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from neural_fx.training.pictures import picture
    from neural_fx.training.report import examine, write_report

    recording = pair(4)
    network = untrained("a1-nano")
    course = Course(99, 72.0, [(50, 40.0, 0.9), (99, 72.0, 0.8)])
    stem = tmp_path / "my $amp$ v1.2"
    findings = write_report(stem, network, recording, stem.name, course, ENOUGH)
    assert {p.name for p in tmp_path.iterdir()} == {"my $amp$ v1.2.html", "my $amp$ v1.2.png"}
    page = (tmp_path / "my $amp$ v1.2.html").read_text()
    assert "99 steps in 1.2 minutes" in page
    assert "Train for 15 minutes" in page
    found = re.findall(r'<figcaption>(\w+).*?src="data:audio/flac;base64,([^"]+)"', page)
    assert [label for label, _ in found] == ["dry", "wet", "model", "error"]
    audio = {label: soundfile.read(io.BytesIO(base64.b64decode(data))) for label, data in found}
    assert all(rate == 48000 for _, rate in audio.values())
    where = loudest_stretch(recording, 12)
    output = play(network, recording)
    np.testing.assert_allclose(audio["dry"][0], recording.dry[where], atol=1e-4)
    np.testing.assert_allclose(audio["model"][0], output[where], atol=1e-4)
    np.testing.assert_allclose(audio["error"][0], (output - recording.wet)[where], atol=1e-4)
    figure = picture(recording, output, examine(recording, output), "title", course)
    axes = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    assert len(axes) == 9
    for axis in axes:
        for label in (axis.get_xlabel(), axis.get_ylabel()):
            assert re.search(r"\(.*(ms|s|Hz|minutes|%|dBFS|full scale = 1)\)", label), axis.get_title()
    assert findings.esr == pytest.approx(examine(recording, output).esr)


def test_players_are_safe_and_do_not_clip() -> None:
    assert player("a<b>", file_url("take 1 #2.flac")) == (
        '<figure><figcaption>a&lt;b&gt;</figcaption><audio controls preload="none" src="take%201%20%232.flac"></audio>'
        "</figure>"
    )
    assert common_gain([np.array([2.0, -4.0], np.float32), np.zeros(3, np.float32)]) == pytest.approx(0.2475)
    assert common_gain([np.zeros(2, np.float32)]) == 1
