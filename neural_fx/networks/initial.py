"""Draw the weights of untrained networks."""

from __future__ import annotations

import numpy as np

from neural_fx.arrays import Array
from neural_fx.networks.parts import Conv


class Initializer:
    """Draws weights that are uniform within 1 / sqrt(fan in), as in torch.

    Args:
        seed: random seed.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def array(self, fan_in: int, *shape: int) -> Array:
        """Draw an array.

        Args:
            fan_in: number of inputs of each output.
            shape: of the array.
        """
        bound = 1 / np.sqrt(fan_in)
        return self.rng.uniform(-bound, bound, shape).astype(np.float32)

    def conv(self, into: int, out: int, taps: int = 1, dilation: int = 1, bias: bool = True) -> Conv:
        """Draw a convolution.

        Args:
            into: input channels.
            out: output channels.
            taps: number of taps.
            dilation: samples between taps.
            bias: whether it has a bias.
        """
        fan = into * taps
        return Conv(self.array(fan, out, into, taps), self.array(fan, out) if bias else None, dilation)
