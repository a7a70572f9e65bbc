"""What the names of files and a table say of one-shots."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instruments.drums.training.words import DRUM_WORDS
from instruments.training.labels import Label, find_labels, read_labels
from instruments.training.names import described, kind_of, note_number
from neural_fx.errors import TrainingError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("C4_v100.wav", (60, 100, "")),
        ("Bass F#2 f.wav", (42, 112, "bass")),
        ("piano-060-080.wav", (60, 80, "piano")),
        ("bass_synthetic_068-049-025.wav", (49, 25, "bass-synthetic")),
        ("Sax.Bb3.mp.rr2.wav", (58, 64, "sax")),
        ("Rhodes-Cs4-vel64.wav", (61, 64, "rhodes")),
        ("Sub A-1.wav", (9, None, "sub")),
        ("strings/C3.wav", (48, None, "strings")),
        ("note60 hard.wav", (60, 112, "")),
        ("snare_01.wav", (None, None, "snare")),
        ("Kick_v2.wav", (None, None, "kick-v2")),
        ("take 999-999.wav", (None, None, "")),
        ("x v200.wav", (None, None, "x-v200")),
    ],
)
def test_names(name: str, expected: tuple[int | None, int | None, str]) -> None:
    found = described(Path(name))
    assert (found.pitch, found.velocity, found.instrument) == expected


def test_octaves_are_counted_from_middle_c() -> None:
    assert [note_number("C3", octave) for octave in (3, 4, 5)] == [60, 48, 36]
    assert note_number("G9") == 127
    assert note_number("A9") is None
    assert note_number("H2") is None


@pytest.mark.parametrize(
    ("name", "drum"),
    [
        ("snare_01.wav", "snare"),
        ("SD-Tight.wav", "snare"),
        ("BassDrum 3.wav", "kick"),
        ("Bass Drum 3.wav", "kick"),
        ("Kick909.wav", "kick"),
        ("HiHat Open 2.wav", "open_hat"),
        ("open-hi-hat.wav", "open_hat"),
        ("OH1.wav", "open_hat"),
        ("hat_07.wav", "closed_hat"),
        ("hh closed.wav", "closed_hat"),
        ("Floor Tom.wav", "low_tom"),
        ("tom hi 3.wav", "high_tom"),
        ("tom.wav", "mid_tom"),
        ("Rim Shot.wav", "rim"),
        ("snares/tight 01.wav", "snare"),
        ("snares/rim 01.wav", "rim"),
        ("kit/claps/01.wav", "clap"),
        ("weird.wav", ""),
        ("sidekickers.wav", ""),
    ],
)
def test_drum_classes(name: str, drum: str) -> None:
    assert kind_of(Path(name), DRUM_WORDS) == drum


def test_tables_in_csv_and_json(tmp_path: Path) -> None:
    expected = {
        "a.wav": Label(pitch=42, velocity=90, kind="snare", instrument="Bass"),
        "sub/b.wav": Label(pitch=61.5),
    }
    table = tmp_path / "labels.csv"
    table.write_text(
        "\ufeffFile;Pitch;velocity;class;instrument;mood\na.wav;F#2;90;snare;Bass;sad\nsub\\b.wav;61.5;;;\n"
    )
    labels = read_labels(table)
    assert dict(labels.rows) == expected
    assert "ignoring mood" in labels.remarks[0]
    rows = [
        {"file": "a.wav", "pitch": "F#2", "velocity": 90, "class": "snare", "instrument": "Bass"},
        {"file": "sub/b.wav", "pitch": 61.5},
    ]
    other = tmp_path / "labels.json"
    other.write_text(json.dumps(rows))
    assert dict(read_labels(other).rows) == expected
    other.write_text(json.dumps({row.pop("file"): row for row in rows}))
    assert dict(read_labels(other).rows) == expected
    assert read_labels(table, middle_c=3).rows["a.wav"].pitch == 54


def test_a_table_is_found_by_its_name(tmp_path: Path) -> None:
    assert find_labels(tmp_path) == (None, [])
    (tmp_path / "notes.csv").write_text("x")
    assert find_labels(tmp_path)[0] is None
    assert "notes.csv is not read" in find_labels(tmp_path)[1][0]
    (tmp_path / "Labels.csv").write_text("file\n")
    assert find_labels(tmp_path) == (tmp_path / "Labels.csv", [])
    (tmp_path / "labels.json").write_text("[]")
    with pytest.raises(TrainingError, match="choose one with --labels"):
        find_labels(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "name,pitch\nx.wav,60\n", "line 2: has no file"),
        ("a.csv", "file,pitch\nx.wav,H4\n", "line 2: pitch is 'H4'; expected a number from 0 to 127 or a note"),
        ("a.csv", "file,velocity\nx.wav,60\ny.wav,0\n", "line 3: velocity is '0'; expected a number from 1 to 127"),
        ("a.csv", "file\nx.wav\nx.wav\n", "line 3: x.wav is listed twice"),
        ("a.csv", "file\nx.wav,3\n", "line 2 has more columns than the header"),
        ("a.json", "[3]", "expected a list of objects"),
        ("a.json", "[", "not a readable table"),
        ("a.json", "[" * 100000, "not a readable table"),
        ("a.json", '[{"file": "x", "pitch": true}]', "entry 1: pitch is True"),
        ("a.csv", "", "is an empty file"),
    ],
)
def test_bad_tables(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TrainingError) as error:
        read_labels(tmp_path / name)
    assert words in str(error.value)
