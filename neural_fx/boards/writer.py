"""Write boards to YAML files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from neural_fx.boards.files import board_files
from neural_fx.boards.registry import SLOTS
from neural_fx.errors import BoardError, reason
from neural_fx.files import replacing, same_file
from neural_fx.macros import Macro
from neural_fx.pedalboard import Container, Pedalboard, Plugin
from neural_fx.processor import Processor
from neural_fx.slots import parameter_values
from neural_fx.yaml_text import write_yaml


def save_board(board: Pedalboard, path: str | Path, overwrite: bool = False) -> None:
    """Write a board to a YAML file. Names of files become relative to it where they can.

    Args:
        board: the board.
        path: the file.
        overwrite: whether to replace an existing file.

    Raises:
        BoardError: a plugin that a file cannot name; the file exists and `overwrite` is False; the board uses the
            file; or it cannot be written.
    """
    path = Path(path)
    if os.path.lexists(path) and not overwrite:
        raise BoardError(f"{path}: exists already; say overwrite to replace it")
    for used in board_files(board):
        if same_file(path, used):
            raise BoardError(f"{path}: is a file that the board itself uses; choose another name")
    text = board_text(board, path.parent)
    try:
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BoardError(f"{path}: cannot be written: {reason(error)}") from None


def board_text(board: Pedalboard, folder: Path) -> str:
    """Return a board as the YAML of a file in a folder.

    Raises:
        BoardError: a plugin that a file cannot name.
    """
    document: dict[str, Any] = {"board": 1}
    if board.name:
        document["name"] = board.name
    if board.mix != 1:
        document["mix"] = board.mix
    document["slots"] = slot_list(board, folder)
    if board.macros:
        document["macros"] = [_macro_field(macro) for macro in board.macros]
    return write_yaml(document)


def _macro_field(macro: Macro) -> dict[str, Any]:
    targets = []
    for target in macro.targets:
        limits = {"min": target.minimum, "max": target.maximum}
        targets.append({"parameter": target.address, **{k: v for k, v in limits.items() if v is not None}})
    return {"name": macro.name, "to": [t["parameter"] if len(t) == 1 else t for t in targets]}


def slot_list(container: Container, folder: Path) -> list[dict[str, Any]]:
    """Return the slots of a container as a board file in a folder has them.

    Raises:
        BoardError: a plugin that a file cannot name.
    """
    slots = []
    for plugin in container:
        slot = _slot(plugin, folder)
        name = container.given_name(plugin)
        slots.append({**slot, "name": name} if name else slot)
    return slots


def _slot(plugin: Plugin, folder: Path) -> dict[str, Any]:
    """Return the slot that `load_board` makes this plugin from."""
    for kind in reversed(list(SLOTS)):
        slot = kind.describe(plugin, folder)
        if slot is None:
            continue
        if isinstance(plugin, Processor):
            changed = {n: v for n, v in parameter_values(plugin).items() if v != plugin.parameters[n].default}
            return {**slot, "set": changed} if changed else slot
        return slot
    raise BoardError(f"{plugin!r} cannot be written to a board file")
