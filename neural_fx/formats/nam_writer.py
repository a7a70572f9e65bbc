"""Writing `.nam` files in the form that every player reads: A1-like WaveNets as 0.5.4, all others as 0.7.0."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from neural_fx.formats.network import Activation, Array, Conv, Layer, LayerArray, WaveNet


def nam_bytes(network: WaveNet, sample_rate: float, metadata: Mapping[str, Any] | None = None) -> bytes:
    """A `.nam` file.

    Args:
        network: a WaveNet whose layers are plain: no gating, no FiLM, no groups, head kernels of 1, one activation
            per stack (what `neural_fx.training` makes).
        sample_rate: Hz.
        metadata: the file's `metadata` object.

    Raises:
        ValueError: the network has a feature that this writer does not write yet.
    """
    if network.post_head or network.condition:
        raise ValueError("a network with a post-stack head or a condition model cannot be written yet")
    layers = [_array_config(array) for array in network.arrays]
    weights = [_weights(array) for array in network.arrays]
    flat = np.concatenate([*weights, np.array([network.head_scale], np.float32)])
    document = {
        "version": "0.5.4",
        "metadata": dict(metadata or {}),
        "architecture": "WaveNet",
        "config": {"layers": layers, "head": None, "head_scale": float(network.head_scale)},
        "weights": [float(str(w)) for w in flat],  # the shortest decimals that give the same float32
        "sample_rate": int(sample_rate) if float(sample_rate).is_integer() else sample_rate,
    }
    return json.dumps(document).encode()


_NAMES = {"tanh": "Tanh", "relu": "ReLU", "sigmoid": "Sigmoid", "hardtanh": "Hardtanh"}


def _array_config(array: LayerArray) -> dict[str, Any]:
    first = array.layers[0]
    if not all(_plain(layer, first.activation) for layer in array.layers) or array.head.weight.shape[2] > 1:
        raise ValueError("only plain layers (no gating, FiLM, groups or head convolutions) can be written yet")
    return {
        "input_size": array.rechannel.in_channels,
        "condition_size": first.mixin.in_channels,
        "head_size": array.head.out_channels,
        "channels": array.rechannel.out_channels,
        "kernel_size": int(first.conv.weight.shape[2]),
        "dilations": [layer.conv.dilation for layer in array.layers],
        "activation": _NAMES[first.activation.name],
        "gated": False,
        "head_bias": array.head.bias is not None,
    }


def _plain(layer: Layer, activation: Activation) -> bool:
    return (
        layer.gating == "none"
        and not layer.films
        and layer.head is None
        and layer.residual is not None
        and layer.activation == activation
        and activation.name in _NAMES
        and layer.conv.groups == layer.mixin.groups == 1
    )


def _weights(array: LayerArray) -> Array:
    convs: list[Conv | None] = [array.rechannel]
    for layer in array.layers:
        convs += [layer.conv, layer.mixin, layer.residual]
    convs.append(array.head)
    parts = [part.ravel() for c in convs if c for part in (c.weight, c.bias) if part is not None]
    return np.concatenate(parts)
