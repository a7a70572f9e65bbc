"""The activations of all formats as torch functions, with the C++ engine's meaning where names are shared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neural_fx.formats.network import Activation
from neural_fx.models.base import array, tensor


def fast_tanh(x: Tensor) -> Tensor:
    """The rational tanh of Neural Amp Modeler's C++ engine; within 5e-4 of tanh for |x| < 5."""
    a, size = x.abs(), x * x
    top = x * (2.45550750702956 + 2.45550750702956 * a + (0.893229853513558 + 0.821226666969744 * a) * size)
    return top / (2.44506634652299 + (2.44506634652299 + size) * (x + 0.814642734961073 * x * a).abs())


def leaky_hardtanh(x: Tensor, min_val: float, max_val: float, min_slope: float, max_slope: float) -> Tensor:
    """Identity between the limits, a slope beyond each."""
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
    """An `Activation` as a module over (batch, channels, samples)."""

    def __init__(self, spec: Activation) -> None:
        super().__init__()
        self.slopes = nn.Parameter(tensor(spec.slopes)) if spec.slopes is not None else None
        self.function = _FUNCTIONS.get(spec.name)
        self.params, self.spec = spec.params, spec

    def describe(self) -> Activation:
        """The description with the weights of this moment."""
        return self.spec if self.slopes is None else replace(self.spec, slopes=array(self.slopes))

    def forward(self, x: Tensor) -> Tensor:
        if self.slopes is not None:
            return F.prelu(x, self.slopes)
        assert self.function is not None
        return self.function(x, **self.params)
