"""A worker's config file (YAML): boards, media folders, and the MIDI map, which learning writes back.

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

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bridge.errors import BridgeError
from bridge.midi import MidiMap
from neural_fx.files import replacing
from neural_fx.inputs import read_bytes
from neural_fx.timbre.library import timbre_in

MOST_BYTES = 1 << 20


class Config(BaseModel):
    """What the file says."""

    model_config = ConfigDict(extra="forbid")

    boards: dict[str, Path] = {}
    instruments: dict[str, str] = {}
    media: list[Path] = []
    midi: MidiMap = MidiMap()


def read_config(path: Path) -> Config:
    """The config in a YAML file, its paths made absolute.

    Raises:
        BridgeError: it cannot be read or does not fit; names the field.
    """
    try:
        config = Config.model_validate(_value(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BridgeError(f"{path}: {where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
    folder = path.resolve().parent
    programs = [p.model_copy(update={"file": folder / p.file}) for p in config.midi.programs]
    return Config(
        boards={name: folder / board for name, board in config.boards.items()},
        media=[folder / media for media in config.media],
        instruments={name: str(timbre_in(timbre, folder)) for name, timbre in config.instruments.items()},
        midi=config.midi.model_copy(update={"programs": programs}),
    )


def write_controls(path: Path, midi: MidiMap) -> None:
    """Write a map's controllers into a config file, leaving the rest of it.

    Raises:
        BridgeError: the file is there and cannot be read.
        OSError: it cannot be written.
    """
    value = _value(path) if path.exists() else {}
    inside = value.get("midi")
    value["midi"] = {**(inside if isinstance(inside, dict) else {})}
    value["midi"]["controls"] = [c.model_dump(mode="json", exclude_defaults=True) for c in midi.controls]
    with replacing(path) as part:
        part.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")


def _value(path: Path) -> dict[str, Any]:
    try:
        data = read_bytes(path, MOST_BYTES, BridgeError, "a config file")
        value = yaml.safe_load(data.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BridgeError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BridgeError(f"{path}: expected a mapping with boards, instruments, media, midi")
    return value
