"""Fingerprint a network, so that equal networks are recognised even if they come from different files."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass

import numpy as np

from neural_fx.networks import Network


def digest(network: Network, weights: bool = True) -> bytes:
    """Return a SHA-256 hash of a network's structure.

    Args:
        network: any network.
        weights: also hash the weights. Then equal hashes mean equal sound.
    """
    found = hashlib.sha256()
    _feed(found, network, weights)
    return found.digest()


def _feed(found: hashlib._Hash, part: object, weights: bool) -> None:
    if isinstance(part, np.ndarray):
        found.update(f"{part.shape}{part.dtype}".encode())
        if weights:
            found.update(np.ascontiguousarray(part).tobytes())
    elif is_dataclass(part) and not isinstance(part, type):
        found.update(_class_name(type(part)).encode())
        for item in fields(part):
            _feed(found, getattr(part, item.name), weights)
    elif isinstance(part, (tuple, list, dict)):
        found.update(f"{len(part)}:".encode())
        for value in part.items() if isinstance(part, dict) else part:
            _feed(found, value, weights)
    else:
        found.update(f"{part!r};".encode())


def _class_name(kind: type) -> str:
    """Return what tells a class of descriptions from all others. Two packages may use one name."""
    ours = kind.__module__.startswith("neural_fx.")
    return kind.__name__ if ours else f"{kind.__module__}.{kind.__qualname__}"
