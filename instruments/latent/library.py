"""Find the bundled network, its presets by name, and its data card.

>>> "marimba" in preset_names()
True
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from instruments.latent.files import LatentFile, read_network
from neural_fx.errors import NeuralFXError
from neural_fx.values import suggestion

WEIGHTS = Path(__file__).parent / "weights" / "general-midi.safetensors"
CARD = WEIGHTS.with_suffix(".card.json")
_MOST_LISTED = 12


@cache
def bundled() -> LatentFile:
    """Return the bundled network and its presets."""
    return read_network(WEIGHTS)


def preset_names() -> tuple[str, ...]:
    """Return the names of the bundled presets, in the order of General MIDI's programs."""
    return tuple(bundled().presets)


def latent_card(sound: str) -> Mapping[str, Any]:
    """Return the data card of the bundled network: its sounds, their licences, its quality, and what it cannot do.

    Args:
        sound: name of a preset.
    """
    card: dict[str, Any] = json.loads(CARD.read_text(encoding="utf-8"))
    return {**card, "name": sound}


def unknown_preset(name: str, names: tuple[str, ...]) -> NeuralFXError:
    """Return the error for a name that no preset has. It suggests the nearest name.

    Args:
        name: that was asked for.
        names: of the presets that there are.
    """
    listed = ", ".join(names[:_MOST_LISTED]) or "none"
    more = f" and {len(names) - _MOST_LISTED} more, see `neural-fx latent map`" if len(names) > _MOST_LISTED else ""
    return NeuralFXError(
        f"unknown preset {name!r}{suggestion(name, names)}; there are {listed}{more}; or give the path of a file"
    )
