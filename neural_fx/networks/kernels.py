"""Convert the parts that networks share to the compiled kernels' own description."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from neural_fx.native import core
from neural_fx.networks.parts import Activation, Conv, walk

if TYPE_CHECKING:
    from neural_fx.native import _core

_ACTIVATIONS = ("tanh", "fasttanh", "hardtanh", "relu", "leaky_relu", "prelu", "sigmoid", "silu", "hardswish",
                "leaky_hardtanh", "softsign", "linear")  # fmt: skip
_FAST = {"tanh": "tanh_fast", "sigmoid": "sigmoid_fast"}
_PARAMETERS = {"leaky_relu": ("negative_slope",), "leaky_hardtanh": ("min_val", "max_val", "min_slope", "max_slope")}

Part = TypeVar("Part")


def has_known_activations(network: object) -> bool:
    """Return whether the kernels have all activations of a description. They have no softmax and no ELU."""
    return all(part.name in _ACTIVATIONS for part in walk(network) if isinstance(part, Activation))


def with_fast_activations(part: Part) -> Part:
    """Return a description in which all activations that have a fast form use it."""
    changed: object = part
    if isinstance(part, Activation):
        changed = replace(part, name=_FAST.get(part.name, part.name))
    elif isinstance(part, tuple):
        changed = tuple(with_fast_activations(item) for item in part)
    elif is_dataclass(part) and not isinstance(part, type):
        changed = replace(
            part, **{f.name: with_fast_activations(getattr(part, f.name)) for f in fields(part) if f.init}
        )
    return changed  # type: ignore[return-value]


def convert_conv(conv: Conv | None) -> _core.Conv:
    """Convert a convolution. Weights between groups become zeros. None becomes an empty one."""
    if conv is None:
        return core.Conv(0, 0, 1, 1, [], [])
    weight = conv.weight
    if conv.groups > 1:
        out, per_group, taps = weight.shape
        weight = np.zeros((out, conv.in_channels, taps), np.float32)
        for o in range(out):
            group = o * conv.groups // out
            weight[o, group * per_group : (group + 1) * per_group] = conv.weight[o]
    bias = [] if conv.bias is None else conv.bias.tolist()
    return core.Conv(weight.shape[0], weight.shape[1], weight.shape[2], conv.dilation, weight.ravel().tolist(), bias)


def convert_activation(activation: Activation) -> _core.Activation:
    """Convert an activation with its parameters."""
    if activation.slopes is not None:
        params = activation.slopes.tolist()
    else:
        params = [activation.params[name] for name in _PARAMETERS.get(activation.name, ())]
    return core.Activation(getattr(core.Act, activation.name), params)
