"""Describe networks, and register their kinds. One folder per family.

Four kinds of network cover every capture in use:

- `WaveNet`: stacks of dilated causal convolutions with a shared condition (van den Oord 2016, Damskägg 2019);
- `Sequential`: stages one after another (recurrent layers, dense layers, plain convolutions, normalisation);
- `Slimmable`: one capture in several sizes, chosen while playing;
- `Knobbed`: a WaveNet whose weights follow knobs. At every knob position it is an ordinary WaveNet.

`NETWORKS` is the registry of kinds. Other packages add kinds to it through the entry-point group
``neural_fx.networks``.

Each folder has the description (plain data), the torch module (the reference, and what training and the GPU run), the
binding of the compiled kernels, and the kind that names them all. Only `model` modules import torch.
"""

from __future__ import annotations

from neural_fx.arrays import Array
from neural_fx.networks.knobbed.description import Dense, Knobbed, Level
from neural_fx.networks.parts import Activation, Conv, Network, walk
from neural_fx.networks.registry import (
    NETWORKS,
    Batch,
    Binding,
    Export,
    Kernels,
    NetworkKind,
    build,
    is_recurrent,
    kind_of,
    runs_in_pieces,
)
from neural_fx.networks.sequential.description import Affine, Recurrent, RecurrentLayer, Sequential, Stage
from neural_fx.networks.slimmable import Slimmable, largest
from neural_fx.networks.wavenet.description import FILM_SITES, Film, Gating, Layer, LayerArray, WaveNet

__all__ = [
    "FILM_SITES",
    "NETWORKS",
    "Activation",
    "Affine",
    "Array",
    "Batch",
    "Binding",
    "Conv",
    "Dense",
    "Export",
    "Film",
    "Gating",
    "Kernels",
    "Knobbed",
    "Layer",
    "LayerArray",
    "Level",
    "Network",
    "NetworkKind",
    "Recurrent",
    "RecurrentLayer",
    "Sequential",
    "Slimmable",
    "Stage",
    "WaveNet",
    "build",
    "is_recurrent",
    "kind_of",
    "largest",
    "runs_in_pieces",
    "walk",
]
