"""Decide which stacks of WaveNet layers run in fused kernels."""

from __future__ import annotations

import os
from importlib.util import find_spec

from neural_fx.networks.parts import Activation, Conv
from neural_fx.networks.wavenet.description import Layer, LayerArray

ACTIVATIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "linear")
"""Activations that the kernels have, by the names of the descriptions."""
MOST_CHANNELS = 16
"""The most channels of a layer. More would not fit a thread's registers."""
MOST_SUMS = 32
"""The most channels before the activation, which are twice as many if there is a gate."""
MOST_CONDITIONS = 4
"""The most channels of the condition. Each one adds to the length of the kernel."""


def wanted(device: str) -> bool:
    """Return whether a device has fused kernels, and the user has not switched them off.

    Args:
        device: type of a torch device, such as ``cuda``.
    """
    return device == "cuda" and os.environ.get("NEURAL_FX_FUSED", "1") != "0" and find_spec("triton") is not None


def qualifies(array: LayerArray) -> bool:
    """Return whether the kernels can run a stack."""
    convs = (array.rechannel, array.head)
    return all(_is_small(conv) for conv in convs) and bool(array.layers) and all(_layer(v) for v in array.layers)


def _layer(layer: Layer) -> bool:
    convs = [conv for conv in (layer.conv, layer.mixin, layer.residual, layer.head) if conv is not None]
    pointwise = all(conv.history == 0 for conv in convs[1:])
    gated = layer.gating != "none"
    return (
        not layer.films
        and pointwise
        and all(conv.groups == 1 for conv in convs)
        and layer.conv.in_channels <= MOST_CHANNELS
        and layer.conv.out_channels <= (MOST_SUMS if gated else MOST_CHANNELS)
        and layer.mixin.in_channels <= MOST_CONDITIONS
        and (layer.head is None or layer.head.out_channels <= MOST_CHANNELS)
        and _is_known(layer.activation)
        and (not gated or _is_known(layer.secondary))
    )


def _is_small(conv: Conv) -> bool:
    return conv.groups == 1 and max(conv.in_channels, conv.out_channels) <= MOST_CHANNELS


def _is_known(activation: Activation) -> bool:
    return activation.name in ACTIVATIONS and activation.slopes is None
