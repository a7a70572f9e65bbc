"""Make untrained networks by name: those of all kinds of networks."""

from __future__ import annotations

from collections.abc import Callable

from neural_fx.errors import TrainingError
from neural_fx.networks import NETWORKS, Network
from neural_fx.networks.knobbed.untrained import knobbed
from neural_fx.networks.sequential.untrained import lstm
from neural_fx.networks.wavenet.untrained import a1, a2, pedal, smc

__all__ = ["a1", "a2", "architectures", "file_suffix", "knobbed", "lstm", "pedal", "smc", "untrained"]


def architectures() -> dict[str, Callable[[int], Network]]:
    """Return the functions that make an untrained network from a seed, by name; built-in ones first."""
    found: dict[str, Callable[[int], Network]] = {}
    for kind in NETWORKS:
        for name, make in kind.untrained.items():
            found.setdefault(name, make)
    return found


def untrained(name: str, seed: int = 0) -> Network:
    """Return an untrained network.

    Args:
        name: a key of `architectures`.
        seed: random seed for the weights.

    Raises:
        TrainingError: the name is unknown. The message lists the known names.
    """
    known = architectures()
    if name not in known:
        raise TrainingError(f"unknown architecture {name!r}; known: {', '.join(known)}")
    return known[name](seed)


def file_suffix(name: str) -> str:
    """Return the ending of a capture's file name for an architecture, such as ``.nam``."""
    for kind in NETWORKS:
        if name in kind.untrained and kind.export is not None:
            return kind.export.suffix
    return ".nam"
