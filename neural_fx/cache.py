"""Cache numbers on disk that take seconds to compute.

The key is a hash of the content that a number belongs to. A cache only saves time, so damaged files and folders that
cannot be read or written never raise an error.
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

    It is the environment variable ``NEURAL_FX_CACHE`` if that is set. Otherwise it is in the user's cache folder, which
    follows ``XDG_CACHE_HOME`` on Linux.
    """
    return Path(os.environ.get("NEURAL_FX_CACHE") or user_cache_dir("neural-fx", appauthor=False))


def cached_number(kind: str, key: str, low: float, high: float) -> float | None:
    """Return a number from the cache, or None if it is not there.

    Args:
        kind: of the number, which names the folder.
        key: of the content that it belongs to, such as a hash. It names the file.
        low: the smallest possible value. A smaller one counts as damaged.
        high: the largest possible value. A larger one counts as damaged.
    """
    try:
        path = _cache_file(kind, key)
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
    """Save a number for `cached_number`. Does nothing if the folder cannot be written.

    Args:
        kind: of the number, which names the folder.
        key: of the content that it belongs to, such as a hash. It names the file.
        value: the number.
    """
    try:
        path = _cache_file(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(json.dumps({"value": value}), encoding="utf-8")
    except (OSError, ValueError):
        return


def _cache_file(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}.json"
