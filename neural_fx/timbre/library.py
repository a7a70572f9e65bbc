"""The bundled timbres, by name; any timbre file, by its path.

>>> "violin" in TIMBRES
True
"""

from __future__ import annotations

import difflib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from neural_fx.errors import NeuralFXError
from neural_fx.timbre.files import Timbre, read_timbre
from neural_fx.values import suggestion

DATA = Path(__file__).parent / "data"
TIMBRES = ("violin", "cello", "flute", "trumpet", "alto-sax")
"""Names of the bundled timbres."""


def find_timbre(timbre: str | Path | Timbre) -> Timbre:
    """A bundled timbre by its name, or the one in a file.

    Raises:
        NeuralFXError: there is none of that name; lists them.
        ModelError: the file is no timbre.
    """
    if isinstance(timbre, Timbre):
        return timbre
    if timbre in TIMBRES:
        return _bundled(str(timbre))
    path = Path(timbre)
    if path.suffix or os.path.exists(path):
        return read_timbre(path)
    near = [name for name in TIMBRES if str(timbre).lower() in name] or difflib.get_close_matches(
        str(timbre), TIMBRES, 1
    )
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise NeuralFXError(f"unknown timbre {str(timbre)!r}{hint}; bundled: {', '.join(TIMBRES)}; or the path of a file")


def timbre_in(name: str | None, folder: Path) -> str | Path | None:
    """A timbre as a file in a folder names it: a bundled one, or a path relative to the folder."""
    is_file = name is not None and name not in TIMBRES and (Path(name).suffix or "/" in name)
    return folder / os.path.expanduser(str(name)) if is_file else name


def chosen(
    timbre: str | Path | Timbre, morph_to: str | Path | Timbre | None
) -> tuple[tuple[Timbre, ...], tuple[str | Path, ...]]:
    """One timbre, or the two to morph between, and how they were named: see `find_timbre`."""
    named = (timbre,) if morph_to is None else (timbre, morph_to)
    return tuple(find_timbre(name) for name in named), tuple(_source(name) for name in named)


def _source(timbre: str | Path | Timbre) -> str | Path:
    """Return a bundled timbre's name, else the absolute path of its file: the working directory may change."""
    if isinstance(timbre, Timbre):
        return timbre.name
    return str(timbre) if timbre in TIMBRES else Path(timbre).absolute()


@cache
def _bundled(name: str) -> Timbre:
    return read_timbre(DATA / f"{name}.safetensors")


def timbre_card(name: str) -> dict[str, Any]:
    """The data card of a bundled timbre: what it was learned from, whom to thank, and how well.

    Raises:
        NeuralFXError: it is none.
    """
    if name not in TIMBRES:
        raise NeuralFXError(f"unknown timbre {name!r}{suggestion(name, TIMBRES)}; bundled: {', '.join(TIMBRES)}")
    card: dict[str, Any] = json.loads((DATA / f"{name}.card.json").read_text(encoding="utf-8"))
    return card
