"""`neural-fx train-instrument --family drums`: checks, training, interruption, and the kit that it writes."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import mido
import numpy as np
import pytest

pytest.importorskip("torch", reason='training needs pip install "neural-fx[torch]"')

from instruments import Drums, InstrumentFamily, open_instrument
from instruments.drums.kit_files import read_kit, save_kit
from instruments.drums.training import report
from instruments.drums.training.one_shots import OwnDrums
from instruments.families import FAMILIES
from neural_fx.errors import ModelError, NeuralFXError
from tests.conftest import Run
from tests.instruments.training.makers import drum_folder, write

Command = list[object]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """A command that trains a small kit for four seconds."""
    folder = drum_folder(tmp_path / "hits")
    out = tmp_path / "mine.safetensors"
    return ["train-instrument", folder, "--family", "drums", "-o", out, "--minutes", 0.06, "--threads", 1]


def stroke(kit: Drums) -> np.ndarray:
    return kit([mido.Message("note_on", note=38, velocity=100)], 0.3, 48000)


def test_check_says_what_was_understood(run: Run, command: Command, tmp_path: Path) -> None:
    write(tmp_path / "hits", "thing.wav", np.ones(4800, np.float32))
    status, out, _ = run(*command[:4], "--check", "--json")
    found = json.loads(out)
    assert status == 0
    assert (found["used"], found["left_out"]) == (9, 1)
    assert found["files"][0]["class"] == "closed_hat"
    status, out, _ = run(*command[:4], "--check")
    assert status == 0
    assert "9 of 10 files are used" in out
    assert "thing.wav: left out: which class is it?" in out
    assert not (tmp_path / "mine.safetensors").exists()


def test_a_kit_is_learned_and_opens_everywhere(
    run: Run, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib.figure")
    monkeypatch.setattr(report, "KNOB_SOUNDS", 2)
    monkeypatch.setattr(report, "RANDOM_SOUNDS", 6)
    status, out, err = run(*command, "--json", "--report")
    assert status == 0, err
    found = json.loads(out)
    words = found["findings"][0]
    after, before = (float(number) for number in re.findall(r"([\d.]+) dB (?:from|with)", words))
    assert after <= before
    assert "held-out sound" in words
    assert found["steps"] > 20
    assert (tmp_path / "mine.html").exists()
    assert (tmp_path / "mine.png").exists()
    assert not (tmp_path / "mine.ckpt").exists()
    path = tmp_path / "mine.safetensors"
    file = read_kit(path)
    assert file.network.presets == ["own"]
    assert file.metadata["data"] == "3 closed_hat, 3 kick, 3 snare"
    kit = Drums(path)
    assert kit.sound == "mine"
    assert np.abs(stroke(kit)).max() > 0.01
    assert np.abs(stroke(kit) - stroke(Drums())).max() > 0.01
    opened = open_instrument(str(path), snare_brightness=0.7)
    assert isinstance(opened, Drums)
    status, _, err = run("drums", "-o", tmp_path / "kit", "--kit", path)
    assert status == 0, err
    assert len(list((tmp_path / "kit").glob("**/*.wav"))) > 20


def signalled(number: int, during: int) -> Callable[..., float]:
    """A step that receives a signal while it is the step of that number, counted from 1."""
    plain = OwnDrums._step

    def step(self: OwnDrums, *arguments: object) -> float:
        if self.step == during - 1:
            os.kill(os.getpid(), number)
        return plain(self, *arguments)  # type: ignore[arg-type]

    return step


@pytest.mark.slow
def test_a_stopped_training_keeps_its_kit_and_continues(
    run: Run, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(OwnDrums, "_step", signalled(signal.SIGTERM, 3))
        status, _, err = run(*command, "--minutes", 10, "--no-report")
    assert status == 143, err
    assert "stopped after 3 steps" in err
    assert "mine.safetensors has the best so far" in err
    assert read_kit(tmp_path / "mine.safetensors").metadata["steps"] == 3
    assert (tmp_path / "mine.ckpt").exists()
    status, _, err = run(*command, "--no-report")
    assert status == 2
    assert "add --overwrite" in err
    status, _, err = run(*command, "--no-report", "--resume", "--from-scratch")
    assert status == 2
    assert "another training" in err
    status, _, err = run(*command, "--no-report", "--resume")
    assert status == 0, err
    assert "continuing from" in err
    assert read_kit(tmp_path / "mine.safetensors").metadata["steps"] > 3
    assert not (tmp_path / "mine.ckpt").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drums": "drum"}, "unknown family 'drum' (did you mean 'drums'?); can be trained: drums"),
        ({"drums": "ddsp"}, "the family ddsp cannot be trained on one-shots"),
        ({"mine.safetensors": "mine.wav"}, "expected a file name that ends in .safetensors"),
        ({"hits": "nothing"}, "no such folder"),
    ],
)
def test_bad_commands(run: Run, command: Command, change: dict[str, str], words: str) -> None:
    ((old, new),) = change.items()
    status, _, err = run(*[re.sub(f"{re.escape(old)}$", new, str(argument)) for argument in command])
    assert status == 2
    assert words in err


def test_a_folder_without_a_usable_file(run: Run, command: Command, tmp_path: Path) -> None:
    for path in (tmp_path / "hits").iterdir():
        path.unlink()
    write(tmp_path / "hits", "snare.wav", np.zeros(4800, np.float32))
    status, _, err = run(*command)
    assert status == 2
    assert "none of the 1 files can be used; snare.wav: is silent" in err
    status, _, err = run(*command[:4])
    assert "say which file to write with -o" in err


def test_damaged_kits_are_refused(tmp_path: Path) -> None:
    from instruments.drums.instrument import DATA
    from instruments.drums.training.weights import load_file

    arrays = {name: value.astype(np.float32) for name, value in load_file(DATA / "drums.safetensors").items()}
    del arrays["kit.electronic"]
    path = tmp_path / "kit.safetensors"
    save_kit(path, arrays, "studio", {"name": "x"})
    assert np.array_equal(stroke(Drums(path)), stroke(Drums()))
    for name, value in (
        ("bands", arrays["bands"][:, :5]),
        ("decoder1.weight", arrays["decoder1.weight"][:9]),
        ("prior.snare.factor", arrays["prior.snare.factor"][:, :3]),
        ("kit.studio", arrays["kit.studio"][:3]),
        ("mean", np.full_like(arrays["mean"], np.nan)),
        ("knob_high", arrays["knob_low"]),
        ("prior.kick.share", -arrays["prior.kick.share"]),
    ):
        save_kit(path, {**arrays, name: np.ascontiguousarray(value)}, "studio")
        with pytest.raises(ModelError, match=r"kit\.safetensors"):
            Drums(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(NeuralFXError, match=r"kit\.safetensors"):
        open_instrument(path)
    with pytest.raises(ModelError, match="cannot be read"):
        Drums(tmp_path / "nothing.safetensors")
    with pytest.raises(NeuralFXError, match=r"unknown drum kit 'studio' \(did you mean 'studio-kit'\?\)"):
        Drums("studio")


def test_families_name_their_trainers() -> None:
    assert [family.name for family in FAMILIES if family.trainer is not None][:1] == ["drums"]
    assert InstrumentFamily("x", Drums, lambda: (), Drums).trainer is None


def test_a_board_has_a_kit_by_its_file(tmp_path: Path) -> None:
    from instruments.drums.instrument import DATA
    from instruments.drums.training.weights import load_file
    from neural_fx.boards.reader import load_board

    arrays = {name: value.astype(np.float32) for name, value in load_file(DATA / "drums.safetensors").items()}
    del arrays["kit.electronic"]
    save_kit(tmp_path / "kit.safetensors", arrays, "studio")
    (tmp_path / "board.yaml").write_text("board: 1\nslots:\n  - instrument: kit.safetensors\n")
    board = load_board(tmp_path / "board.yaml")
    board.save(tmp_path / "again.yaml")
    assert "instrument: kit.safetensors" in (tmp_path / "again.yaml").read_text()
    assert len(load_board(tmp_path / "again.yaml")) == 1
