"""Describe networks as plain data, for formats: the parts of `neural_fx.networks` that need no model.

Nothing here knows a file format, runs a model, or needs torch. Arrays are float32.
"""

from __future__ import annotations

from neural_fx.networks import (
    FILM_SITES,
    Activation,
    Affine,
    Array,
    Conv,
    Dense,
    Film,
    Gating,
    Knobbed,
    Layer,
    LayerArray,
    Level,
    Network,
    Recurrent,
    RecurrentLayer,
    Sequential,
    Slimmable,
    Stage,
    WaveNet,
    is_recurrent,
    largest,
    walk,
)

__all__ = [
    "FILM_SITES",
    "Activation",
    "Affine",
    "Array",
    "Conv",
    "Dense",
    "Film",
    "Gating",
    "Knobbed",
    "Layer",
    "LayerArray",
    "Level",
    "Network",
    "Recurrent",
    "RecurrentLayer",
    "Sequential",
    "Slimmable",
    "Stage",
    "WaveNet",
    "is_recurrent",
    "largest",
    "walk",
]
