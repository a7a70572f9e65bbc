"""Fold knobs into weights: at a fixed knob position, a `Knobbed` network is exactly an ordinary `WaveNet`.

A layer computes ``act(scale * (conv(x) + mixin(c)) + shift)``. While the knobs rest, ``scale`` and ``shift`` are
constants. So they fold into the weights and biases of the convolution and of the mixin. The scale before a head folds
into the head's weights, and an output level into the head scale.

While a knob turns, the engines read it every `GRID` samples, counted from the start of the stream. The modulation
moves to its new values in a straight line over the next `GRID` samples. So there are no steps, and the block sizes
make no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neural_fx.arrays import Array
from neural_fx.networks.knobbed.description import Knobbed
from neural_fx.networks.parts import Conv
from neural_fx.networks.wavenet.description import Layer, WaveNet

GRID = 64
"""Samples between two readings of the knobs."""


def modulation_sizes(network: WaveNet) -> list[int]:
    """Return the lengths of the parts of a modulation.

    Each stack has a scale and a shift for every layer, then the scale of its head.
    """
    sizes: list[int] = []
    for array in network.arrays:
        for layer in array.layers:
            sizes += [layer.conv.out_channels] * 2
        sizes.append(array.head.in_channels)
    return sizes


def modulation(knobbed: Knobbed, knobs: Sequence[float]) -> Array:
    """Return the output of the dense layers at a knob position, computed in float64.

    Args:
        knobbed: the network.
        knobs: rotations 0..1, in the order of the network's knobs.
    """
    x = np.array([2.0 * knobs[i] - 1.0 for i in knobbed.learned], np.float64)
    for i, dense in enumerate(knobbed.dense):
        x = dense.weight.astype(np.float64) @ x + dense.bias
        if i + 1 < len(knobbed.dense):
            x = np.tanh(x)
    return x.astype(np.float32)


def level_gain(knobbed: Knobbed, knobs: Sequence[float]) -> float:
    """Return the linear output gain at a knob position.

    Args:
        knobbed: the network.
        knobs: rotations 0..1, in the order of the network's knobs.
    """
    gain = 1.0
    for level in knobbed.levels:
        gain *= float(np.interp(knobs[level.index] * (len(level.gains) - 1), np.arange(len(level.gains)), level.gains))
    return gain


def fold(knobbed: Knobbed, knobs: Sequence[float], levels: bool = True) -> WaveNet:
    """Return the plain WaveNet that equals the network at a knob position.

    Args:
        knobbed: the network.
        knobs: rotations 0..1, in the order of the network's knobs.
        levels: whether to fold in the output levels, too.
    """
    parts = iter(np.split(modulation(knobbed, knobs), np.cumsum(modulation_sizes(knobbed.network))[:-1]))
    arrays = []
    for array in knobbed.network.arrays:
        layers = tuple(_modulated(layer, 1 + next(parts), next(parts)) for layer in array.layers)
        head = replace(array.head, weight=array.head.weight * (1 + next(parts))[None, :, None])
        arrays.append(replace(array, layers=layers, head=head))
    gain = level_gain(knobbed, knobs) if levels else 1.0
    return replace(knobbed.network, arrays=tuple(arrays), head_scale=knobbed.network.head_scale * gain)


def _modulated(layer: Layer, scale: Array, shift: Array) -> Layer:
    conv = layer.conv
    bias = shift if conv.bias is None else scale * conv.bias + shift
    return replace(
        layer,
        conv=replace(conv, weight=conv.weight * scale[:, None, None], bias=bias.astype(np.float32)),
        mixin=_scaled(layer.mixin, scale),
    )


def _scaled(conv: Conv, scale: Array) -> Conv:
    bias = None if conv.bias is None else conv.bias * scale
    return replace(conv, weight=conv.weight * scale[:, None, None], bias=bias)
