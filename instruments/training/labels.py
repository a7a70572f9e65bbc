"""Read a table that says what the files of a folder are: CSV or JSON with file, pitch, velocity, class, instrument."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from instruments.training.names import MIDDLE_C, note_number
from neural_fx.errors import TrainingError, reason
from neural_fx.inputs import file_problem
from neural_fx.values import shown

COLUMNS = ("file", "pitch", "velocity", "class", "instrument")
MOST_BYTES = 2**24


@dataclass(frozen=True)
class Label:
    """What a table says of a file. What it does not say is None or empty.

    Attributes:
        pitch: MIDI note.
        velocity: 1 to 127.
        kind: class as it is written there.
        instrument: name of the instrument.
    """

    pitch: float | None = None
    velocity: int | None = None
    kind: str = ""
    instrument: str = ""


@dataclass(frozen=True)
class Labels:
    """A table.

    Attributes:
        path: of the table; None if there is none.
        rows: labels by the files' paths within the folder.
        remarks: sentences about what the table has that is not used.
    """

    path: Path | None = None
    rows: Mapping[str, Label] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def find_labels(folder: Path) -> tuple[Path | None, list[str]]:
    """Return ``labels.csv`` or ``labels.json`` of a folder, and a remark for each other table in it.

    Raises:
        TrainingError: there are both.
    """
    tables = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".csv", ".json") and not p.name.startswith("."))
    found = [path for path in tables if path.stem.lower() == "labels"]
    if len(found) > 1:
        raise TrainingError(f"{folder}: has {' and '.join(p.name for p in found)}; choose one with --labels")
    others = [f"{p.name} is not read; to use it, add --labels {p.name}" for p in tables if p not in found]
    return (found[0] if found else None), ([] if found else others)


def read_labels(path: Path, middle_c: int = MIDDLE_C) -> Labels:
    """Read a table.

    Args:
        path: a CSV file with a header line, or a JSON list of objects.
        middle_c: octave of MIDI note 60 in names of notes.

    Raises:
        TrainingError: it cannot be read, has no column ``file``, or has a value that is not allowed. Names the row.
    """
    problem = file_problem(path, "a table")
    if problem is None and path.stat().st_size > MOST_BYTES:
        problem = f"is larger than {MOST_BYTES >> 20} MiB"
    if problem is not None:
        raise TrainingError(f"{path}: {problem}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _json_rows(text) if path.suffix.lower() == ".json" else _csv_rows(text)
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise TrainingError(f"{path}: not a readable table: {reason(error)}") from None
    labels: dict[str, Label] = {}
    unused: dict[str, None] = {}
    for place, row in rows:
        where = f"{path}, {place}"
        name = str(row.get("file") or "").strip().replace("\\", "/")
        if not name:
            raise TrainingError(f"{where}: has no file; expected the columns {', '.join(COLUMNS)}")
        key = str(PurePosixPath(name))
        if key in labels:
            raise TrainingError(f"{where}: {name} is listed twice")
        labels[key] = _label(row, where, middle_c)
        unused.update(dict.fromkeys(column for column in row if column not in COLUMNS))
    remarks = (f"{path}: ignoring {', '.join(unused)}; used are {', '.join(COLUMNS)}",) if unused else ()
    return Labels(path, labels, remarks)


def _csv_rows(text: str) -> list[tuple[str, dict[str, Any]]]:
    lines = text.splitlines()
    header = next((line for line in lines if line.strip()), "")
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(lines, delimiter=delimiter)
    rows = []
    for row in reader:
        if None in row:
            raise ValueError(f"line {reader.line_num} has more columns than the header")
        rows.append((f"line {reader.line_num}", {str(k).strip().lower(): v for k, v in row.items()}))
    return rows


def _json_rows(text: str) -> list[tuple[str, dict[str, Any]]]:
    root = json.loads(text)
    if isinstance(root, dict):
        root = [{"file": name, **row} if isinstance(row, dict) else row for name, row in root.items()]
    if not isinstance(root, list) or not all(isinstance(row, dict) for row in root):
        raise ValueError("expected a list of objects, each with a file")
    return [(f"entry {i}", {str(k).lower(): v for k, v in row.items()}) for i, row in enumerate(root, 1)]


def _label(row: Mapping[str, Any], where: str, middle_c: int) -> Label:
    velocity = _number(row, "velocity", 1, where, middle_c)
    return Label(
        pitch=_number(row, "pitch", 0, where, middle_c),
        velocity=None if velocity is None else round(velocity),
        kind=str(row.get("class") or "").strip(),
        instrument=str(row.get("instrument") or "").strip(),
    )


def _number(row: Mapping[str, Any], column: str, least: float, where: str, middle_c: int) -> float | None:
    value = row.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    named = note_number(value, middle_c) if column == "pitch" and isinstance(value, str) else None
    try:
        number = float(named if named is not None else value)
    except (TypeError, ValueError):
        number = -1.0
    if isinstance(value, bool) or not least <= number <= 127:
        note = " or a note such as F#2" if column == "pitch" else ""
        raise TrainingError(f"{where}: {column} is {shown(value)}; expected a number from {least:g} to 127{note}")
    return number
