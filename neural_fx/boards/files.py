"""List the files that a board was made from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from neural_fx.boards.paths import placed
from neural_fx.boards.registry import SLOTS
from neural_fx.errors import NeuralFXError
from neural_fx.pedalboard import Plugin
from neural_fx.sharing import everything_in

_ROOT = Path(os.sep)


def board_files(board: Iterable[Plugin]) -> Iterator[Path]:
    """Yield the files that a board was made from: captures, timbres, impulse responses, what other slots name."""
    for plugin in board:
        for inside in everything_in(plugin):
            yield from _files_of(inside)


def _files_of(plugin: Plugin) -> Iterator[Path]:
    for kind in reversed(list(SLOTS)):
        fields = kind.model.file_fields()
        if not fields:
            continue
        try:
            slot = kind.describe(plugin, _ROOT)
        except NeuralFXError:  # such as a convolution with an array
            return
        if slot is None:
            continue
        for field, mark in fields.items():
            name = slot.get(field)
            if name is not None and name not in mark.bundled():
                yield placed(name, _ROOT)
        return
