"""Find bundled timbres by name, and other timbres by the path of their file.

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
    """Return a timbre.

    Args:
        timbre: the name of a bundled timbre, the path of a timbre file, or a `Timbre`.

    Raises:
        NeuralFXError: there is no timbre of that name. Lists them.
        ModelError: the file is not a timbre file.
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
    """Resolve the name of a timbre in a file.

    Args:
        name: the name of a bundled timbre, or a path relative to the folder.
        folder: of the file.
    """
    is_file = name is not None and name not in TIMBRES and (Path(name).suffix or "/" in name)
    return folder / os.path.expanduser(str(name)) if is_file else name


def chosen(
    timbre: str | Path | Timbre, morph_to: str | Path | Timbre | None
) -> tuple[tuple[Timbre, ...], tuple[str | Path, ...]]:
    """Return the timbre, or the two timbres to morph between, and their names.

    Args:
        timbre: as for `find_timbre`.
        morph_to: the second timbre, if any.

    Returns:
        The timbres, and the name of each if it is bundled, else its absolute path.
    """
    named = (timbre,) if morph_to is None else (timbre, morph_to)
    return tuple(find_timbre(name) for name in named), tuple(_source(name) for name in named)


def _source(timbre: str | Path | Timbre) -> str | Path:
    """Return a bundled timbre's name, else the absolute path of its file, because the working directory may change."""
    if isinstance(timbre, Timbre):
        return timbre.name
    return str(timbre) if timbre in TIMBRES else Path(timbre).absolute()


@cache
def _bundled(name: str) -> Timbre:
    return read_timbre(DATA / f"{name}.safetensors")


def timbre_card(name: str) -> dict[str, Any]:
    """Return the data card of a bundled timbre: its recordings, their credits, and its quality.

    Raises:
        NeuralFXError: there is no bundled timbre of that name. Lists them.
    """
    if name not in TIMBRES:
        raise NeuralFXError(f"unknown timbre {name!r}{suggestion(name, TIMBRES)}; bundled: {', '.join(TIMBRES)}")
    card: dict[str, Any] = json.loads((DATA / f"{name}.card.json").read_text(encoding="utf-8"))
    return card
