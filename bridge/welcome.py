"""Describe a board in a WELCOME, and leave parts out if the description is too long for a message."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bridge import limits
from bridge.host import BoardHost, BoardStream
from bridge.protocol import VERSION, Kind, encode_json, pack
from neural_fx.parameters import Parameter

Fields = dict[str, Any]


def welcome(host: BoardHost, stream: BoardStream, boards: Mapping[str, BoardHost], folder: Path) -> bytes:
    """Encode the WELCOME for a client.

    Args:
        host: the client's board.
        stream: the client's stream.
        boards: all boards of the worker, by name.
        folder: folder that paths in the board's text are relative to.
    """
    with host.lock:  # `load` may change the board at the same time
        values = {"bypass": host.bypassed, **host.master.values()}
        fields: Fields = {
            "version": VERSION,
            "board": host.name,
            "boards": {name: other.takes_notes for name, other in boards.items()},
            "latency": stream.latency,
            "parameters": {address: _about(values[address], known) for address, known in host.table().items()},
            "macros": macros(host),
            "text": host.text(folder),
        }
    return pack(Kind.WELCOME, fitted(fields))


def fitted(fields: Fields, most: int = limits.PROTOCOL_MESSAGE_BYTES) -> bytes:
    """Encode fields in a limited size.

    Descriptions are left out first, then the text, then the last boards and parameters. The field `left_out` has the
    number of missing entries of each field.

    Args:
        fields: the fields of a WELCOME.
        most: largest payload in bytes.
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
    """Return the first entries that fit into `most` bytes of JSON."""
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
        span = {"min": parameter.minimum, "max": parameter.maximum, "default": parameter.default}
        about |= {name: float(limit) for name, limit in span.items() if math.isfinite(limit)}
        about |= {"unit": parameter.unit, "description": parameter.description}
    return about


def _plain(value: object) -> object:
    """Convert a value for JSON: a finite number, a boolean, or text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def macros(host: BoardHost) -> list[Fields]:
    """Return the name, the position (0..1), the values at 0 and 1, and the unit of every macro of a board."""
    board, found = host.master, []
    for i, macro in enumerate(board.macros, 1):
        low, high, unit = macro.unit(board.knobs())
        value = _plain(board.value(f"macro/{i}"))
        found.append({"name": macro.name, "value": value, "min": _plain(low), "max": _plain(high), "unit": unit})
    return found
