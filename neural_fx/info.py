"""Describe a model file, for display and for scripts."""

from __future__ import annotations

from typing import Any

from neural_fx.errors import ModelError
from neural_fx.formats import Capture
from neural_fx.inputs import printable
from neural_fx.loudness import Loudness, find_loudness
from neural_fx.networks import Slimmable, is_recurrent
from neural_fx.neural import LEVELS, capture_parameters, level_gains


def describe(capture: Capture) -> dict[str, Any]:
    """Return everything that `neural-fx info` shows, as a dict for JSON.

    Some of its fields:

    - `receptive_field_samples` and `receptive_field_ms` count the convolutions. `remembers` is True if recurrent layers
      look back even further.
    - `loudness_source` is ``stated`` if `loudness_db` is the file's own. It is ``measured`` if the file states no
      plausible loudness. Both are None for a silent capture.
    """
    samples = capture.network.receptive_field
    meta, loudness = capture.metadata, _loudness(capture)
    return {
        "file": printable(capture.path) if capture.path else None,
        "format": capture.format,
        "version": capture.version,
        "architecture": capture.architecture,
        "sizes": len(capture.network.sizes) if isinstance(capture.network, Slimmable) else 1,
        "parameter_count": capture.parameter_count,
        "sample_rate": capture.sample_rate,
        "receptive_field_samples": samples,
        "receptive_field_ms": round(1000 * samples / capture.sample_rate, 3),
        "remembers": is_recurrent(capture.network),
        "knobs": {
            p.name: {"min": p.minimum, "max": p.maximum, "default": p.default, "unit": p.unit}
            for p in capture_parameters(capture)
        },
        "levels": [level for level in LEVELS if _has(capture, level)],
        "loudness_db": round(loudness.db, 2) if loudness else None,
        "loudness_source": ("stated" if loudness.stated else "measured") if loudness else None,
        "metadata": {name: getattr(meta, name) for name in (*meta.TEXTS, *meta.LEVELS)},
        "all_metadata": dict(meta.everything),
    }


def _loudness(capture: Capture) -> Loudness | None:
    try:
        return find_loudness(capture)
    except ModelError:
        return None


def _has(capture: Capture, level: str) -> bool:
    try:
        level_gains(capture, level, 0)
    except ValueError:
        return False
    return True
