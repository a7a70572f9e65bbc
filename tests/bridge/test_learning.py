"""`train`, `train-timbre`, `circuit`: what they keep when stopped, failing or out of space; what is optional."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

import neural_fx
from bridge.cli.progress import Standing, say
from neural_fx.timbre.files import read_timbre
from neural_fx.training.circuits import dataset
from neural_fx.training.course import Due
from neural_fx.training.loop import Trainer
from neural_fx.training.timbre.loop import Trainer as TimbreTrainer
from tests.conftest import Run, noise
from tests.neural_fx.timbre.makers import tone
from tests.neural_fx.training.test_training import device, guitarish

Command = list[object]


@pytest.fixture
def capture(tmp_path: Path) -> Command:
    """A command that trains a small capture for two steps."""
    x = guitarish(6)
    soundfile.write(tmp_path / "dry.wav", x, 48000)
    soundfile.write(tmp_path / "wet.wav", device(x), 48000)
    command: Command = ["train", tmp_path / "dry.wav", tmp_path / "wet.wav", "-o", tmp_path / "mine.nam"]
    return [
        *command,
        "--arch",
        "a1-nano",
        "--minutes",
        100,
        "--epochs",
        0.7,
        "--latency",
        0,
        "--no-report",
        "--threads",
        1,
    ]


@pytest.fixture
def timbre(tmp_path: Path) -> Command:
    """A command that trains a small timbre."""
    folder = tmp_path / "solo"
    folder.mkdir()
    for i, hz in enumerate((220, 330)):
        notes = [tone(hz * step, 1.0, 0.2, 8) * np.minimum(1, np.arange(48000)[::-1] / 9600) for step in (1, 1.5, 2, 1)]
        soundfile.write(folder / f"{i}.wav", np.concatenate(notes), 48000)
    command: Command = ["train-timbre", folder, "-o", tmp_path / "mine.safetensors", "--minutes", 0.01]
    return [*command, "--hidden", 8, "--batch", 2, "--reverb", 0.05, "--no-report", "--threads", 1]


def stopping(error: BaseException, at: int) -> Callable[..., float]:
    """A step that raises at its number, for either trainer."""
    plain = {Trainer: Trainer._step, TimbreTrainer: TimbreTrainer._step}

    def step(self: Trainer, *arguments: object) -> float:
        if self.step == at:
            raise error
        return plain[type(self)](self, *arguments)  # type: ignore[arg-type]

    return step


def signalled(number: int, during: int) -> Callable[..., float]:
    """A step, for either trainer, that receives a signal while it is the step of that number, counted from 1."""
    plain = {Trainer: Trainer._step, TimbreTrainer: TimbreTrainer._step}

    def step(self: Trainer, *arguments: object) -> float:
        if self.step == during - 1:
            os.kill(os.getpid(), number)
        return plain[type(self)](self, *arguments)  # type: ignore[arg-type]

    return step


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        for name in [n for n in sys.modules if n == module or n.startswith(f"{module}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_training_says_what_it_keeps(
    number: int, run: Run, capture: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", signalled(number, 1))
        status, _, err = run(*capture)
    assert status == 128 + number
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("stopped after 1 step in")]
    assert "mine.ckpt keeps the state; add --resume to continue" in line
    assert re.search(r"mine\.nam has the best so far, ESR \d", line)
    assert neural_fx.load(tmp_path / "mine.nam").capture.parameter_count == 842
    status, _, err = run(*capture, "--resume")
    assert (status, "continuing from" in err, "1 step in" in err) == (0, True, True), err
    assert not (tmp_path / "mine.ckpt").exists()


def test_a_stopped_timbre_says_what_it_keeps(
    run: Run,
    timbre: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(TimbreTrainer, "_step", signalled(signal.SIGTERM, 2))
        status, _, err = run(*timbre, "--minutes", 10)
    assert status == 143, err
    (line,) = [line for line in err.splitlines() if line.startswith("stopped after 2 steps")]
    assert "mine.ckpt keeps the state" in line
    assert re.search(r"mine\.safetensors has the best so far, spectral loss \d", line)
    assert read_timbre(tmp_path / "mine.safetensors").metadata["steps"] == 2
    for wrong, words in [(["--hidden", 9], "differs in shape of the network"), (["--seed", 4], "seed 0, not 4")]:
        status, _, err = run(*timbre, "--resume", *wrong)
        assert words in err
    assert status == 0
    assert not (tmp_path / "mine.ckpt").exists()


def test_a_wrong_resume_is_refused(
    run: Run,
    capture: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, _, err = run(*capture, "--resume")
    assert (status, "mine.ckpt: no checkpoint to continue from" in err) == (2, True)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", signalled(signal.SIGINT, 1))
        run(*capture)
    kept = (tmp_path / "mine.ckpt").read_bytes()
    other: Command = [tmp_path / "dry.wav" if item == tmp_path / "wet.wav" else item for item in capture]
    for command, words in [
        ([*capture, "--arch", "a1-feather"], "differs in architecture"),
        (other, "differs in recordings"),
        ([*capture, "--mask", "0.1/2"], "differs in mask"),
    ]:
        status, _, err = run(*command, "--resume")
        assert (status, words in err) == (2, True), err
    assert (tmp_path / "mine.ckpt").read_bytes() == kept
    (tmp_path / "mine.nam").unlink()
    status, _, err = run(*capture)
    assert (status, "left by an interrupted training; add --resume to continue it" in err) == (2, True), err
    status, _, err = run(*capture, "--resume", "--seed", 3)
    assert (status, "was started with seed 0, not 3; continuing with the checkpoint's value" in err) == (0, True), err


def full_disk(monkeypatch: pytest.MonkeyPatch, *suffixes: str) -> None:
    """Writing files of these kinds fails as on a full disk."""
    write = Path.write_bytes

    def writing(self: Path, data: bytes) -> int:
        if self.suffix in suffixes:
            write(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", writing)


def test_a_full_disk_costs_nothing_that_was_learned(
    run: Run,
    capture: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        full_disk(patch, ".nam")
        status, _, err = run(*capture)
    assert status == 2
    (line,) = [line for line in err.splitlines() if "error" in line]
    assert "mine.nam: cannot be written: No space left on device" in line
    assert "mine.ckpt keeps the training: make room, then repeat the command with --resume" in line
    assert not (tmp_path / "mine.nam").exists()
    status, _, err = run(*capture, "--resume")
    assert (status, "are already used up" in err) == (0, True), err
    assert (tmp_path / "mine.nam").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dry.wav", "mine.nam", "wet.wav"]


def test_checkpoints_that_fail_are_told_once_and_the_training_goes_on(
    run: Run,
    capture: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full_disk(monkeypatch, ".ckpt")
    monkeypatch.setattr(Due, "__call__", lambda self: True)
    status, _, err = run(*capture)
    assert status == 0, err
    assert err.count("the checkpoint cannot be written (No space left on device); the training continues") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dry.wav", "mine.nam", "wet.wav"]


def test_all_disks_full_is_said_plainly(
    run: Run,
    capture: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full_disk(monkeypatch, ".ckpt", ".nam")
    status, _, err = run(*capture)
    assert (status, "so the training is lost" in err) == (2, True), err
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", signalled(signal.SIGINT, 1))
        status, _, err = run(*capture)
    assert status == 130
    (line,) = [line for line in err.splitlines() if line.startswith("stopped after")]
    assert line.count("cannot be written (No space left on device)") == 2


def test_a_crash_is_one_line_and_keeps_the_last_minute(
    run: Run,
    capture: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Due, "__call__", lambda self: True)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stopping(RuntimeError("CUDA error:\n out of memory"), 1))
        status, _, err = run(*capture)
    assert status == 2
    (line,) = [line for line in err.splitlines() if "error:" in line]
    assert "the training failed after 1 step in" in line
    assert "CUDA error: out of memory; " in line
    assert line.endswith("mine.ckpt keeps what was learned for --resume")
    assert run(*capture, "--resume")[0] == 0


def test_a_report_that_cannot_be_written_leaves_the_capture(
    run: Run,
    capture: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "mine.png").mkdir()
    command = [item for item in capture if item != "--no-report"]
    status, _, err = run(*command)
    assert (status, "mine.html: the report cannot be written" in err) == (0, True), err
    assert "mine.nam is complete" in err
    assert run(*command, "--overwrite", "--report")[0] == 2


@pytest.mark.parametrize("kind", ["capture", "timbre"])
def test_progress_is_shown_without_a_terminal(
    kind: str,
    run: Run,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also within a step that takes long: this one waits until lines have been printed."""
    command = request.getfixturevalue(kind)
    trainer = Trainer if kind == "capture" else TimbreTrainer
    plain, lines = trainer._step, []
    monkeypatch.setattr("bridge.cli.progress.LINE_SECONDS", 0.01)
    monkeypatch.setattr("bridge.cli.progress.say", lambda console, sentence: lines.append(sentence))

    def step(self: Trainer, *arguments: object) -> float:
        wanted, end = len(lines) + 3, time.monotonic() + 60
        while len(lines) < wanted and time.monotonic() < end:
            time.sleep(0.01)
        return plain(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "_step", step)
    status, _, err = run(*command)
    assert status == 0, err
    first = [line for line in lines if line.startswith("training: ")]
    assert len(first) >= 3
    assert re.fullmatch(r"training: 0 %, \d+ s: at the first step", first[0])


def test_a_terminal_gets_a_bar() -> None:
    screen = io.StringIO()
    with Standing(Console(file=screen, force_terminal=True, width=120), "training") as standing:
        standing.show(0.5, "step 7, ESR 1 %")
    assert "step 7, ESR 1 %" in screen.getvalue()
    assert "50%" in screen.getvalue()


def test_a_console_on_a_full_disk_stops_nothing() -> None:
    class Full(io.StringIO):
        tries = 0

        def write(self, text: str) -> int:
            self.tries += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    full = Full()
    console = Console(file=full, width=80)
    say(console, "x")
    with Standing(console, "training", 0.001) as standing:
        standing.show(0.5, "x")
        end = time.monotonic() + 60
        while full.tries < 4 and time.monotonic() < end:
            time.sleep(0.01)
    assert full.tries >= 4


# -- without the optional packages -------------------------------------------------------------------------------------


def test_train_needs_no_optional_package(
    run: Run,
    capture: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide(monkeypatch, "matplotlib", "auraloss", "swift_f0")
    command = [item for item in capture if item != "--no-report"]
    status, _, err = run(*command)
    assert status == 0, err
    assert err.count("no report will be written, because matplotlib is missing: pip install 'neural-fx[train]'") == 1
    assert (tmp_path / "mine.nam").exists()
    assert not (tmp_path / "mine.html").exists()
    monkeypatch.setattr(Trainer, "_step", stopping(AssertionError("trained"), 0))
    for more, words in [(["--report"], "--report needs matplotlib"), (["--stft", 0.5], "--stft needs auraloss")]:
        status, _, err = run(*command, "--overwrite", *more)
        assert (status, words in err, "pip install" in err) == (2, True, True), err


def test_train_timbre_needs_no_optional_package(
    run: Run,
    timbre: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide(monkeypatch, "matplotlib", "swift_f0")
    command = [item for item in timbre if item != "--no-report"]
    status, _, err = run(*command)
    assert status == 0, err
    assert "no report will be written, because matplotlib is missing" in err
    assert "swift-f0 is missing: pip install 'neural-fx[train]'" in err
    assert read_timbre(tmp_path / "mine.safetensors").name == "mine"
    assert list(tmp_path.glob(".mine-analysis/*-live.npz"))


def test_analyze_needs_no_optional_package(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", tone(330, 1.0, 0.2, 8), 48000)
    hide(monkeypatch, "matplotlib", "swift_f0")
    status, out, err = run("analyze", tmp_path / "a.wav")
    assert status == 0, err
    assert "because swift-f0 is missing: pip install 'neural-fx[train]'" in err
    middle = out.splitlines()[125].split(",")
    assert float(middle[1]) == pytest.approx(330, rel=0.01)
    for more, words in [(["--method", "offline"], "needs swift-f0"), (["--plot", tmp_path / "a.png"], "matplotlib")]:
        status, out, err = run("analyze", tmp_path / "a.wav", *more)
        assert (status, out, words in err, "pip install" in err) == (2, "", True, True), err


# -- data sets of circuits ---------------------------------------------------------------------------------------------


def test_a_data_set_that_is_stopped_or_full_says_what_it_keeps(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The circuit is replaced by a wire: what is tested is what is kept."""
    soundfile.write(tmp_path / "di.wav", 0.2 * noise(6 * 48000), 48000)
    command = ["circuit", "tube-screamer", tmp_path / "di.wav", "-o", tmp_path / "data", "--minutes", 0.3]
    count = 0

    def simulate(circuit: object, dry: np.ndarray, *more: object) -> np.ndarray:
        nonlocal count
        count += 1
        if count == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return dry

    monkeypatch.setattr(dataset, "simulate", simulate)
    status, _, err = run(*command)
    assert status == 2
    assert "cannot be written: No space left on device" in err
    assert "of 4 segments; repeat the command to continue" in err

    def signalled_simulation(*arguments: object) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGTERM)
        return simulate(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "simulate", signalled_simulation)
        status, _, err = run(*command)
    assert status == 143
    assert re.search(r"stopped; .*data keeps \d of 4 segments; repeat the command to continue", err)
    assert run(*command)[0] == 0
    assert len(dataset.load(tmp_path / "data")) == 4
    for wrong, words in [(["--seed", 1], "differ in seed"), (["tube-screamer", "ds-1"], "differ in circuit")]:
        again = [wrong[1] if item == wrong[0] else item for item in command] if wrong[0] in command else command + wrong
        status, _, err = run(*again)
        assert (status, words in err) == (2, True), err


# -- as a process of its own -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sigterm_from_outside(capture: Command, tmp_path: Path) -> None:
    """The status is the signal's, one line says what is kept, and nothing else is printed."""
    code = "import bridge.cli; bridge.cli.main()"
    command = [sys.executable, "-c", code, *map(str, capture), "--epochs", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.match(r"training: .*step [1-9]", line):
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read().splitlines()
        assert process.wait(300) == 143
    assert [line for line in rest if not line.startswith("training: ")][1:] == ["neural-fx: stopped by SIGTERM"]
    assert (tmp_path / "mine.ckpt").exists()
