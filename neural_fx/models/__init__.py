"""The architectures as readable torch modules: the reference, what training and the GPU run.

Every module maps `(batch, channels, samples)` plus a state to the same plus the next state, so that blocks of any
sizes, one after another, equal one long call. State tensors have the batch dimension first: streams of one model
run as one batch.
"""

from __future__ import annotations

from neural_fx.formats.network import Knobbed, Network, Sequential, WaveNet
from neural_fx.models.base import Model, State
from neural_fx.models.knobbed import KnobbedModel
from neural_fx.models.sequential import SequentialModel
from neural_fx.models.wavenet import WaveNetModel

__all__ = ["KnobbedModel", "Model", "SequentialModel", "State", "WaveNetModel", "build"]


def build(network: Network) -> Model:
    """The torch module of a network description, weights loaded.

    Raises:
        TypeError: for a `Slimmable`, which is several networks; build one of its `sizes`.
    """
    if isinstance(network, WaveNet):
        return WaveNetModel(network, build(network.condition) if network.condition else None)
    if isinstance(network, Sequential):
        return SequentialModel(network)
    if isinstance(network, Knobbed):
        return KnobbedModel(network)
    raise TypeError("a slimmable network is several models; build one of its sizes")
