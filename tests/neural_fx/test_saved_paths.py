"""A saved board finds its files again: from linked folders, and after the working directory has changed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import neural_fx
import neural_fx.timbre
from neural_fx.boards import board_files
from neural_fx.errors import BoardError
from neural_fx.timbre.library import DATA
from tests.conftest import noise, wavenet_document


@pytest.fixture
def gear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a capture, a timbre and an impulse response, as the working directory."""
    folder = tmp_path / "gear"
    (folder / "boards/deep").mkdir(parents=True)
    (folder / "amp.nam").write_text(json.dumps(wavenet_document()))
    shutil.copy(DATA / "flute.safetensors", folder / "own.safetensors")
    soundfile.write(folder / "cab.flac", noise(300), 48000)
    (folder / "linked").symlink_to("boards/deep")
    (folder / "linked.nam").symlink_to("amp.nam")
    monkeypatch.chdir(folder)
    return folder


def made() -> neural_fx.Pedalboard:
    return neural_fx.Pedalboard(
        [
            neural_fx.load("amp.nam"),
            neural_fx.Chain([neural_fx.load("linked.nam")]),
            neural_fx.timbre.TimbreTransfer("own.safetensors", morph_to="violin"),
            neural_fx.Convolution("cab.flac", 0.5),
        ]
    )


@pytest.mark.parametrize("folder", ["boards/deep", "linked", ".", "boards/../linked"])
def test_after_the_working_directory_changed(gear: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    board = made()
    x = noise(6000)
    expected = board(x, 48000)
    monkeypatch.chdir("/")
    board.save(gear / folder / "lead.yaml")
    again = neural_fx.Pedalboard.from_file(gear / folder / "lead.yaml")
    np.testing.assert_array_equal(again(x, 48000), expected)
    text = (gear / folder / "lead.yaml").read_text()
    assert str(gear) not in text
    assert "linked.nam" in text  # a linked file keeps the name it was loaded by
    shutil.copytree(gear, gear.parent / "moved", symlinks=True)
    np.testing.assert_array_equal(
        neural_fx.Pedalboard.from_file(gear.parent / "moved" / folder / "lead.yaml")(x, 48000), expected
    )


def test_a_board_that_was_loaded_by_a_relative_name(gear: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made().save("linked/lead.yaml")
    board = neural_fx.Pedalboard.from_file("linked/lead.yaml")
    monkeypatch.chdir("boards")
    board.save("second.yaml")
    x = noise(6000)
    np.testing.assert_array_equal(neural_fx.Pedalboard.from_file("second.yaml")(x, 48000), board(x, 48000))


def test_names_that_are_not_utf8(gear: Path) -> None:
    name = Path(os.fsdecode(b"caf\xe9.nam"))
    shutil.copy("amp.nam", name)
    neural_fx.Pedalboard([neural_fx.load(name)]).save("lead.yaml")
    again = neural_fx.Pedalboard.from_file("lead.yaml")
    assert again[0].capture.path == gear / name


def test_the_files_of_a_board(gear: Path) -> None:
    names = ["amp.nam", "linked.nam", "own.safetensors", "cab.flac"]
    assert list(board_files(made())) == [gear / name for name in names]
    for name in names:
        with pytest.raises(BoardError, match="the board itself uses"):
            made().save(name, overwrite=True)


def test_a_folder_that_cannot_be_written(gear: Path) -> None:
    with pytest.raises(BoardError, match="cannot be written"):
        made().save(gear / "nowhere" / "lead.yaml")
