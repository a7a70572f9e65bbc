"""Define the architectures as readable torch modules. They are the reference, and what training and the GPU run.

Every module maps `(batch, channels, samples)` and a state to an output of that shape and the next state. So blocks of
any sizes, one after another, equal one long call. State tensors have the batch dimension first, so that streams of one
model run as one batch.
"""

from __future__ import annotations

from neural_fx.formats.network import Knobbed, Network, Sequential, WaveNet
from neural_fx.models.base import Model, State
from neural_fx.models.knobbed import KnobbedModel
from neural_fx.models.sequential import SequentialModel
from neural_fx.models.wavenet import WaveNetModel

__all__ = ["KnobbedModel", "Model", "SequentialModel", "State", "WaveNetModel", "build"]


def build(network: Network) -> Model:
    """Return the torch module of a network description, with its weights.

    Raises:
        TypeError: the network is a `Slimmable`, which is several networks. Build one of its `sizes`.
    """
    if isinstance(network, WaveNet):
        return WaveNetModel(network, build(network.condition) if network.condition else None)
    if isinstance(network, Sequential):
        return SequentialModel(network)
    if isinstance(network, Knobbed):
        return KnobbedModel(network)
    raise TypeError("a slimmable network is several models; build one of its sizes")
