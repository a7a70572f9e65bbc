"""Kits for other samplers: WAV, SFZ and Hydrogen files, and `neural-fx drums`."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from bridge.cli import app
from instruments import Drums
from instruments.drums.classes import GENERAL_MIDI
from instruments.drums.export import HYDROGEN, SFZ, kit_files, samples, write_kit
from instruments.drums.kit import LAYERS
from neural_fx.errors import NeuralFXError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("kits") / "kit"
    write_kit(Drums("electronic-kit", snare_level_db=-6), made)
    return made


def test_all_files_are_written_and_nothing_else(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(kit_files())


def test_the_wav_files_have_the_balance_of_the_kit(folder: Path) -> None:
    peaks = {}
    for sample in samples():
        audio, rate = soundfile.read(folder / sample.file)
        assert rate == 48000
        peaks[sample.key, sample.layer] = np.abs(audio).max()
    assert peaks[36, 2] == pytest.approx(10 ** (-6 / 20), rel=1e-3)
    assert peaks[38, 2] == pytest.approx(10 ** (-14 / 20), rel=1e-3)


def test_the_sfz_covers_all_keys_and_velocities(folder: Path) -> None:
    text = (folder / SFZ).read_text()
    covered: dict[int, list[int]] = {key: [] for key in GENERAL_MIDI}
    for line in re.findall(r"<region> (.*)", text):
        fields = dict(field.split("=") for field in line.split())
        assert (folder / fields["sample"]).is_file()
        covered[int(fields["key"])] += range(int(fields["lovel"]), int(fields["hivel"]) + 1)
    assert all(velocities == list(range(1, 128)) for velocities in covered.values())
    assert re.search(r"key=46 .*off_by=1", text)
    assert re.search(r"key=42 .*group=1", text)


def test_velocities_choose_the_layers_that_the_instrument_plays() -> None:
    drums = Drums()
    drums.finish()
    for sample in samples()[:LAYERS]:
        for velocity in sample.velocities:
            played = drums.kit.hit(sample.piece, velocity / 127)
            np.testing.assert_array_equal(played, drums.kit.layer(sample.piece, sample.layer))


def test_hydrogen_finds_every_layer(folder: Path) -> None:
    root = ElementTree.parse(folder / HYDROGEN).getroot()
    instruments = root.findall("instrumentList/instrument")
    assert len(instruments) == len(GENERAL_MIDI)
    for entry in instruments:
        layers = entry.findall("layer")
        assert all((folder / str(layer.findtext("filename"))).is_file() for layer in layers)
        edges = [(float(str(layer.findtext("min"))), float(str(layer.findtext("max")))) for layer in layers]
        assert edges[0][0] == 0
        assert edges[-1][1] == 1
        assert all(one[1] == other[0] for one, other in pairwise(edges))


def test_the_command_writes_a_kit(tmp_path: Path) -> None:
    out = tmp_path / "kit"
    arguments = ["drums", "-o", str(out), "--seed", "7", "--set", "open-hat.decay=0.1", "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["files"] == kit_files()
    audio, _ = soundfile.read(out / "46-open-hat-3.wav")
    drums = Drums(seed=7, open_hat_decay=0.1)
    drums.finish()
    assert len(audio) == len(drums.kit.layer(GENERAL_MIDI[46], 2))
    again = CliRunner().invoke(app, arguments)
    assert isinstance(again.exception, NeuralFXError)
    assert "already exists; add --overwrite" in str(again.exception)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("snare", "expected KNOB=VALUE or DRUM.KNOB=VALUE"),
        ("snare.brightnes=1", "Drums has no parameter 'snare_brightnes'"),
        ("snare.brightness=2", "outside its range"),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, setting: str, words: str) -> None:
    done = CliRunner().invoke(app, ["drums", "-o", str(tmp_path / "kit"), "--set", setting])
    assert isinstance(done.exception, NeuralFXError)
    assert words in str(done.exception)
    assert not (tmp_path / "kit").exists()
