"""Map the activations of all formats to torch functions.

Neural Amp Modeler's trainer and its C++ engine define some of these names differently. The C++ engine's definition is
used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neural_fx.networks.model import array, tensor
from neural_fx.networks.parts import Activation


def fast_tanh(x: Tensor) -> Tensor:
    """Compute the rational tanh of Neural Amp Modeler's C++ engine, within 5e-4 of tanh for |x| < 5."""
    a, size = x.abs(), x * x
    top = x * (2.45550750702956 + 2.45550750702956 * a + (0.893229853513558 + 0.821226666969744 * a) * size)
    return top / (2.44506634652299 + (2.44506634652299 + size) * (x + 0.814642734961073 * x * a).abs())


def leaky_hardtanh(x: Tensor, min_val: float, max_val: float, min_slope: float, max_slope: float) -> Tensor:
    """Return `x` between the limits, and continue with a slope beyond each.

    Args:
        x: any shape.
        min_val: lower limit.
        max_val: upper limit.
        min_slope: slope below the lower limit.
        max_slope: slope above the upper limit.
    """
    below = (x - min_val) * min_slope + min_val
    above = (x - max_val) * max_slope + max_val
    return torch.where(x < min_val, below, torch.where(x > max_val, above, x))


_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "tanh": torch.tanh,
    "fasttanh": fast_tanh,
    "hardtanh": F.hardtanh,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "leaky_hardtanh": leaky_hardtanh,
    "softsign": F.softsign,
    "elu": F.elu,
    "softmax": partial(torch.softmax, dim=1),
    "linear": lambda x: x,
}


class Nonlinearity(nn.Module):
    """An `Activation` as a module.

    Args:
        spec: the description.

    Shape:
        (batch, channels, samples), in and out.
    """

    def __init__(self, spec: Activation) -> None:
        super().__init__()
        self.slopes = nn.Parameter(tensor(spec.slopes)) if spec.slopes is not None else None
        self.function = _FUNCTIONS.get(spec.name)
        self.params, self.spec = spec.params, spec

    def describe(self) -> Activation:
        """Return the description with the current weights."""
        return self.spec if self.slopes is None else replace(self.spec, slopes=array(self.slopes))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to each sample."""
        if self.slopes is not None:
            return F.prelu(x, self.slopes)
        assert self.function is not None
        return self.function(x, **self.params)
