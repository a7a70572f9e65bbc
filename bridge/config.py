"""Read and write a worker's config file (YAML): boards, instruments, media folders and the MIDI map.

MIDI learn writes the controllers back to the file.

    boards: {lead: lead.yaml, amp: captures/amp.nam}
    instruments: {solo: violin, mine: timbres/mine.safetensors}
    media: [stems]
    midi:
      controls:
        - {cc: 74, to: lead/tube-screamer/drive}
        - {cc: 1, to: lead/mix, fine: true, channel: 1}
      programs:
        - {program: 5, board: lead, file: clean.yaml}
      keys:
        - {instrument: solo, channel: 1}

Relative paths are relative to the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bridge import limits
from bridge.errors import BridgeError
from bridge.midi import MidiMap
from neural_fx.files import replacing
from neural_fx.inputs import read_bytes
from neural_fx.schema import EmptyList, EmptyMapping, field_problem
from neural_fx.timbre.library import timbre_in
from neural_fx.yaml_text import Document, YamlError, read_yaml, write_yaml


class Config(BaseModel):
    """Contents of a config file.

    Attributes:
        boards: board or capture file of each board, by name.
        instruments: timbre of each instrument, by name.
        media: folders whose files OSC may name.
        midi: MIDI map.
    """

    model_config = ConfigDict(extra="forbid")

    boards: Annotated[dict[str, Path], EmptyMapping] = {}
    instruments: Annotated[dict[str, str], EmptyMapping] = {}
    media: Annotated[list[Path], EmptyList] = []
    midi: Annotated[MidiMap, EmptyMapping] = MidiMap()


def read_config(path: Path) -> Config:
    """Read a config file and make its paths absolute.

    Args:
        path: YAML file.

    Raises:
        BridgeError: the file cannot be read, or a field is wrong. The message names the line and the field.
    """
    document = _document(path)
    try:
        config = Config.model_validate(document.value)
    except ValidationError as error:
        place, problem = field_problem(error, Config)
        where = ".".join(map(str, place))
        raise BridgeError(f"{path}, line {_line(document, place)}: {where}: {problem}") from None
    folder = path.resolve().parent
    programs = [p.model_copy(update={"file": folder / p.file}) for p in config.midi.programs]
    return Config(
        boards={name: folder / board for name, board in config.boards.items()},
        media=[folder / media for media in config.media],
        instruments={name: str(timbre_in(timbre, folder)) for name, timbre in config.instruments.items()},
        midi=config.midi.model_copy(update={"programs": programs}),
    )


def write_controls(path: Path, midi: MidiMap) -> None:
    """Replace the controllers in a config file, and keep the rest of it.

    Args:
        path: YAML file; a missing one is created.
        midi: map that has the controllers.

    Raises:
        BridgeError: the existing file cannot be read.
        OSError: the file cannot be written.
    """
    value: dict[str, Any] = _document(path).value if os.path.exists(path) else {}
    inside = value.get("midi")
    value["midi"] = {**(inside if isinstance(inside, dict) else {})}
    value["midi"]["controls"] = [c.model_dump(mode="json", exclude_defaults=True) for c in midi.controls]
    with replacing(path) as part:
        part.write_text(write_yaml(value), encoding="utf-8")


def _document(path: Path) -> Document:
    """Return a file's mapping and the line of each field; an empty file is an empty mapping.

    Raises:
        BridgeError: the file cannot be read.
    """
    try:
        document = read_yaml(read_bytes(path, limits.CONFIG_BYTES, BridgeError, "a config file"))
    except YamlError as error:
        raise BridgeError(f"{path}: cannot be read: {error}") from None
    if document.value is None:
        return Document({}, {})
    if not isinstance(document.value, dict):
        raise BridgeError(f"{path}: expected a mapping with boards, instruments, media, midi")
    return document


def _line(document: Document, place: tuple[str | int, ...]) -> int:
    """Return the line of a field, or of the nearest enclosing field that the file contains."""
    while place and place not in document.lines:
        place = place[:-1]
    return document.lines.get(place, 1)
