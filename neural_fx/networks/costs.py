"""Count what the built-in networks cost, by the parts that they are made of."""

from __future__ import annotations

from neural_fx.networks.parts import Conv, walk
from neural_fx.networks.sequential.description import RecurrentLayer


def count_multiply_adds(network: object) -> int:
    """Return the multiply-adds per sample: one for each weight of a convolution or of a recurrent layer."""
    count = 0
    for part in walk(network):
        if isinstance(part, Conv):
            count += part.weight.size
        elif isinstance(part, RecurrentLayer):
            count += part.w_ih.size + part.w_hh.size
    return count


def count_conv_past(network: object) -> int:
    """Return how many numbers the past inputs of all convolutions have."""
    return sum(part.history * part.in_channels for part in walk(network) if isinstance(part, Conv))
