"""Write the data of a training into one small file, and read it."""

from __future__ import annotations

import lzma
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instruments.latent.frames import LEVELS
from instruments.latent.training.dataset import Dataset
from neural_fx.errors import ModelError
from neural_fx.files import replacing

_PRESET = 5
_SMALL = tuple(f.name for f in fields(Dataset) if f.name not in ("names", "levels", "step_db"))


def save_dataset(path: Path, data: Dataset) -> None:
    """Write a dataset.

    Args:
        path: the file, replaced if it exists.
        data: to write.
    """
    arrays: dict[str, Any] = {f"levels{i}": _packed(_deltas(part)) for i, part in enumerate(_by_instrument(data))}
    small = {name: getattr(data, name) for name in _SMALL}
    arrays.update({name: _packed(_columns(value)) for name, value in small.items()})
    arrays |= {f"{name}.shape": np.array(value.shape, np.int64) for name, value in small.items()}
    arrays |= {f"{name}.kind": np.array(value.dtype.str) for name, value in small.items()}
    names = np.array(data.names, np.str_)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, names=names, step_db=np.array(data.step_db), **arrays)


def load_dataset(path: Path) -> Dataset:
    """Read a dataset.

    Args:
        path: the file.

    Raises:
        ModelError: the file is damaged, or is of another kind.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        with ThreadPoolExecutor() as pool:
            levels = list(pool.map(_levels, (arrays[f"levels{i}"] for i in range(len(arrays["names"])))))
        small: dict[str, Any] = {name: _unpacked(arrays, name) for name in _SMALL}
        return Dataset(
            names=arrays["names"].tolist(),
            step_db=float(arrays["step_db"]),
            levels=np.concatenate(levels),
            **small,
        )
    except (KeyError, ValueError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise ModelError(f"not readable as packed frames: {error}").inside(path) from None


def _by_instrument(data: Dataset) -> Iterator[NDArray[np.uint8]]:
    """Yield the levels of each instrument. Its notes lie beside each other."""
    for i in range(len(data.names)):
        first, last = np.searchsorted(data.instruments, [i, i + 1])
        yield data.levels[int(data.offsets[first]) : int(data.offsets[last])]


def _deltas(levels: NDArray[np.uint8]) -> bytes:
    """Return each level minus the one before, level by level: long rows of small numbers."""
    return np.diff(levels, axis=0, prepend=np.zeros((1, LEVELS), np.uint8)).T.tobytes()


def _levels(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    deltas = np.frombuffer(lzma.decompress(packed.tobytes()), np.uint8).reshape(LEVELS, -1)
    return np.ascontiguousarray(np.cumsum(deltas, axis=1, dtype=np.uint8).T)


def _columns(values: NDArray[np.generic]) -> bytes:
    return np.asarray(values).T.tobytes()


def _packed(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(lzma.compress(data, preset=_PRESET), np.uint8)


def _unpacked(arrays: dict[str, NDArray[np.generic]], name: str) -> NDArray[np.generic]:
    shape = arrays[f"{name}.shape"].tolist()
    values = np.frombuffer(lzma.decompress(arrays[name].tobytes()), np.dtype(str(arrays[f"{name}.kind"])))
    return values.reshape(shape[::-1]).T.copy(order="C")
