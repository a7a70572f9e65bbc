"""Read and write our own archives: pedals with knobs, and timbres.

An archive is a safetensors file. It holds float32 tensors and, under the header's key ``neural-fx``, a JSON object that
describes them. All of it is data, so nothing is executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neural_fx.arrays import Array
from neural_fx.errors import ModelError, reason
from neural_fx.formats.reader import Node, parse_json
from neural_fx.inputs import special_problem, without_waiting

KEY = "neural-fx"
MAX_WEIGHTS = 2**21
MAX_HEADER = 2**20


def matches(data: bytes) -> bool:
    """Return whether the bytes begin like a safetensors archive."""
    return len(data) > 10 and data[8:10] == b'{"' and int.from_bytes(data[:8], "little") <= len(data) - 8


def archive_kind(path: Path) -> str | None:
    """Return the ``format`` that an archive's description states, or None if the file is no archive or does not say."""
    try:
        with open(path, "rb", opener=without_waiting) as file:
            head = file.read(10)
            size = int.from_bytes(head[:8], "little")
            if head[8:] != b'{"' or size > MAX_HEADER:
                return None
            header = json.loads(head[8:] + file.read(size - 2))
        kind = json.loads(header["__metadata__"][KEY])["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None


def read_archive(path: Path, most: int, kind: str) -> bytes:
    """Return the content of a file that should be an archive.

    Args:
        path: the file.
        most: the most bytes that it may have.
        kind: what was expected, such as ``a timbre``, for the message.

    Raises:
        ModelError: the file is missing, is no regular file, cannot be read, or is too large. Names the file.
    """
    problem = special_problem(path)
    if problem is not None:
        raise ModelError(problem, file=path)
    try:
        if path.stat().st_size > most:
            raise ModelError(f"is over {most // 2**20} MB, too large for {kind}", file=path)
        with open(path, "rb", opener=without_waiting) as file:
            return file.read(most)
    except OSError as error:
        raise ModelError(f"cannot be read: {reason(error)}", file=path) from None


def open_archive(data: bytes, kind: str, most_weights: int = MAX_WEIGHTS) -> tuple[Node, Tensors]:
    """Read the description and the tensors of an archive.

    Args:
        data: the whole file.
        kind: the ``format`` that its description must have. The ``version`` must be 1.
        most_weights: that it may hold.

    Returns:
        The root of the description, and the tensors.

    Raises:
        ModelError: the file is damaged, or not an archive of this kind.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not matches(data):
        raise ModelError("is not a safetensors archive")
    header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(about, dict) or not isinstance(about.get(KEY), str):
        raise ModelError(f"is a safetensors archive without a {KEY!r} description, so it is not a Neural FX file")
    root = Node(parse_json(about[KEY].encode()))
    root["format"].choice(kind)
    root["version"].integer(1, 1)
    try:
        return root, Tensors(load(data), most_weights)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"is a damaged safetensors archive: {error}") from None


def archive_bytes(kind: str, about: Mapping[str, Any], tensors: Mapping[str, Array]) -> bytes:
    """Return an archive of version 1.

    Args:
        kind: the ``format`` of the description.
        about: the other fields of the description, as JSON values.
        tensors: arrays by name, written as float32.
    """
    from safetensors.numpy import save

    described = {"format": kind, "version": 1, **about}
    data: bytes = save(
        {k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, {KEY: json.dumps(described)}
    )
    return data


class Tensors:
    """The tensors of an archive. Each can be taken once.

    Args:
        found: arrays by name.
        most_weights: numbers that they may have together.

    Raises:
        ModelError: there are more numbers.
    """

    def __init__(self, found: dict[str, Any], most_weights: int = MAX_WEIGHTS) -> None:
        self.left = dict(found)
        self.count = sum(int(np.size(a)) for a in found.values())
        if self.count > most_weights:
            raise ModelError(f"holds {self.count} weights; at most {most_weights}")

    def take(self, name: str, *shape: int | None) -> Array:
        """Remove a tensor from the archive and return it.

        Args:
            name: of the tensor.
            shape: that it must have. None stands for any length.

        Raises:
            ModelError: the tensor is missing, not float32, of another shape, or not finite.
        """
        if name not in self.left:
            raise ModelError("missing", name)
        array = self.left.pop(name)
        fits = array.ndim == len(shape) and all(w is None or w == n for w, n in zip(shape, array.shape, strict=True))
        if array.dtype != np.float32 or not fits:
            wanted = " x ".join("n" if w is None else str(w) for w in shape)
            raise ModelError(f"expected float32 of shape {wanted}, found {array.dtype} of {array.shape}", name)
        if not np.isfinite(array).all() or 0 in array.shape:
            raise ModelError("expected finite numbers", name)
        return np.asarray(array)

    def done(self) -> None:
        """Raise if there are tensors that the description does not need.

        Raises:
            ModelError: names one of them.
        """
        if self.left:
            raise ModelError("is not used by the description", min(self.left))
