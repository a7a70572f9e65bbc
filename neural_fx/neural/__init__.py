"""Play captures: `load` a file, or make a `NeuralProcessor` of a capture that was read before.

- `processor`: the processor, with its parameters and output level;
- `loading`: `load`;
- `levels`: the gains of the output levels;
- `player`: one stream of a capture, at the model's rate;
- `sizes`: the networks of a capture, and the copies of an oversampled one.
"""

from __future__ import annotations

from neural_fx.neural.levels import INTERFACE_DBU, LEVELS, level_gains
from neural_fx.neural.loading import LoadedCapture, load
from neural_fx.neural.player import Player, amplified
from neural_fx.neural.processor import NeuralProcessor, capture_parameters
from neural_fx.neural.sizes import Sizes

__all__ = [
    "INTERFACE_DBU",
    "LEVELS",
    "LoadedCapture",
    "NeuralProcessor",
    "Player",
    "Sizes",
    "amplified",
    "capture_parameters",
    "level_gains",
    "load",
]
