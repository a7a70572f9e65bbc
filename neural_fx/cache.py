"""Small numbers that cost seconds to compute, kept between runs by the content that they belong to.

A cache only saves time. So a folder that cannot be read or written, and a file that is damaged, are never an error.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path

from platformdirs import user_cache_dir

from neural_fx.files import replacing

_MOST_BYTES = 4096


def cache_folder() -> Path:
    """Return the folder of this package's caches.

    It is the environment variable ``NEURAL_FX_CACHE`` where that is set, else the user's cache folder, which follows
    ``XDG_CACHE_HOME`` on Linux.
    """
    return Path(os.environ.get("NEURAL_FX_CACHE") or user_cache_dir("neural-fx", appauthor=False))


def cached_number(kind: str, key: str, low: float, high: float) -> float | None:
    """Return a number that was kept, or None.

    Args:
        kind: what the number is: a folder's name.
        key: the content that it belongs to: a file's name, such as a hash.
        low: the least value that can be right; a kept one below it counts as damaged.
        high: the largest value that can be right.
    """
    try:
        path = _place(kind, key)
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            value = json.loads(file.read(_MOST_BYTES))["value"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and low <= value <= high else None


def keep_number(kind: str, key: str, value: float) -> None:
    """Keep a number for `cached_number`; does nothing where the folder cannot be written.

    Args:
        kind: what the number is: a folder's name.
        key: the content that it belongs to: a file's name, such as a hash.
        value: the number.
    """
    try:
        path = _place(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(json.dumps({"value": value}), encoding="utf-8")
    except (OSError, ValueError):
        return


def _place(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}.json"
