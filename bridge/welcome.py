"""What a WELCOME says of a board, and what it leaves out where a board says more than a message holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bridge.host import BoardHost, BoardStream
from bridge.protocol import MOST_BYTES, VERSION, Kind, encode_json, pack
from neural_fx.parameters import Parameter

Fields = dict[str, Any]


def welcome(host: BoardHost, stream: BoardStream, boards: Mapping[str, BoardHost], folder: Path) -> bytes:
    """Return the WELCOME of a client.

    Args:
        host: the client's board.
        stream: the client's stream.
        boards: all boards of the worker, by name.
        folder: what paths in the board's text are relative to.
    """
    with host.lock:  # `load` may change the board
        fields: Fields = {
            "version": VERSION,
            "board": host.name,
            "boards": {name: other.takes_notes for name, other in boards.items()},
            "latency": stream.latency,
            "parameters": {address: _about(host.value(address), known) for address, known in host.table().items()},
            "macros": macros(host),
            "text": host.text(folder),
        }
    return pack(Kind.WELCOME, fitted(fields))


def fitted(fields: Fields, most: int = MOST_BYTES) -> bytes:
    """Return the fields as a payload of at most `most` bytes, with `left_out`: how many entries each field lost.

    Descriptions go first, then the text, then the last of the boards and of the parameters.
    """
    left_out: dict[str, int] = {}
    for shrunk in _shrinking(fields, left_out, most):
        payload = encode_json({**shrunk, "left_out": left_out})
        if len(payload) <= most:
            return payload
    raise AssertionError("the last step is small enough")


def _shrinking(fields: Fields, left_out: dict[str, int], most: int) -> Iterator[Fields]:
    yield fields
    parameters = {address: _without_description(about) for address, about in fields["parameters"].items()}
    left_out["descriptions"] = sum("description" in about for about in fields["parameters"].values())
    fields = {**fields, "parameters": parameters}
    yield fields
    left_out["text"] = 1
    fields = {**fields, "text": ""}
    yield fields
    for name, share in (("boards", most // 8), ("parameters", most // 2)):
        kept = _first(fields[name], share)
        left_out[name] = len(fields[name]) - len(kept)
        fields = {**fields, name: kept}
        yield fields


def _without_description(about: Fields) -> Fields:
    return {name: value for name, value in about.items() if name != "description"}


def _first(entries: Fields, most: int) -> Fields:
    """Return the first entries that together take at most `most` bytes."""
    kept, size = {}, 0
    for name, value in entries.items():
        size += len(encode_json({name: value}))
        if size > most:
            break
        kept[name] = value
    return kept


def _about(value: object, parameter: Parameter | None) -> Fields:
    about: Fields = {"value": _plain(value)}
    if parameter is not None:
        limits = {"min": parameter.minimum, "max": parameter.maximum, "default": parameter.default}
        about |= {name: float(limit) for name, limit in limits.items() if math.isfinite(limit)}
        about |= {"unit": parameter.unit, "description": parameter.description}
    return about


def _plain(value: object) -> object:
    """Return a value as JSON has it: a finite number, a boolean, or text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def macros(host: BoardHost) -> list[Fields]:
    """Return name, position (0..1), and the values at 0 and 1 with their unit, of every macro of a board."""
    board, found = host.master, []
    for i, macro in enumerate(board.macros, 1):
        low, high, unit = macro.unit(board.knobs())
        value = _plain(board.value(f"macro/{i}"))
        found.append({"name": macro.name, "value": value, "min": _plain(low), "max": _plain(high), "unit": unit})
    return found
