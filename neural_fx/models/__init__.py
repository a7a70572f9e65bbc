"""Import the torch modules of `neural_fx.networks` under their former names."""

from __future__ import annotations

from neural_fx.networks import build
from neural_fx.networks.knobbed.model import KnobbedModel
from neural_fx.networks.model import Model, State
from neural_fx.networks.sequential.model import SequentialModel
from neural_fx.networks.wavenet.model import WaveNetModel

__all__ = ["KnobbedModel", "Model", "SequentialModel", "State", "WaveNetModel", "build"]
