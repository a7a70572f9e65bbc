"""Make untrained WaveNets in well-known architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from neural_fx.networks.initial import Initializer
from neural_fx.networks.parts import Activation, Conv, Network
from neural_fx.networks.wavenet.description import Layer, LayerArray, WaveNet

_FEATHER = ([1, 2, 4, 8, 16, 32, 64], [128, 256, 512, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
_TANH = Activation("tanh")
_STANDARD = ([2**i for i in range(10)], [2**i for i in range(10)])


def a1(channels: tuple[int, int], dilations: tuple[list[int], list[int]], seed: int = 0) -> WaveNet:
    """Make a network in Neural Amp Modeler's first architecture.

    It has two stacks of tanh layers with kernel 3. The second stack reads the head of the first.

    Args:
        channels: channels of the two stacks.
        dilations: dilations of their layers.
        seed: random seed for the weights, which are uniform within 1 / sqrt(fan in), as in torch.

    Returns:
        The untrained network.
    """
    draw = Initializer(seed)
    first = _stack(draw, 1, channels[0], dilations[0], head=channels[1], bias=False)
    second = _stack(draw, channels[0], channels[1], dilations[1], head=1, bias=True)
    return WaveNet((first, second), head_scale=0.02)


def a2(width: int, seed: int = 0) -> WaveNet:
    """Make a network in Neural Amp Modeler's second architecture.

    It has one stack of 23 leaky ReLU layers with kernels of 6 and 15.

    Args:
        width: channels of the stack.
        seed: random seed for the weights.
    """
    cycle = [1, 3, 7, 17, 41, 101, 239]
    dilations, taps = [*cycle, *cycle, 1, 13, *cycle], [6] * 14 + [15] * 2 + [6] * 7
    leaky = Activation("leaky_relu", {"negative_slope": 0.01})
    stack = _stack(Initializer(seed), 1, width, dilations, 1, True, taps, leaky, head_taps=16)
    return WaveNet((stack,), head_scale=0.01)


def smc(width: int = 16, seed: int = 0) -> WaveNet:
    """Make WaveNet1 of Damskägg et al. (SMC 2019).

    It has ten gated layers with dilations 1 to 512, which are all mixed to the output.

    Args:
        width: channels of the layers.
        seed: random seed for the weights.
    """
    draw = Initializer(seed)
    layers = tuple(
        Layer(
            conv=draw.conv(width, 2 * width, 3, dilation),
            mixin=draw.conv(1, 2 * width, bias=False),
            activation=Activation("tanh"),
            gating="gated",
            residual=draw.conv(width, width),
            head=draw.conv(width, 1),
        )
        for dilation in _STANDARD[0]
    )
    return WaveNet((LayerArray(draw.conv(1, width, bias=False), layers, Conv(np.ones((1, 1, 1), np.float32))),))


def pedal(width: int = 16, seed: int = 0) -> WaveNet:
    """Make the network of the bundled pedals.

    It has one stack of 20 tanh layers with kernel 3 and dilations 1 to 512, twice.

    Args:
        width: channels of the stack.
        seed: random seed for the weights.
    """
    draw = Initializer(seed)
    return WaveNet((_stack(draw, 1, width, _STANDARD[0] * 2, head=1, bias=True),), head_scale=0.1)


def _stack(
    draw: Initializer,
    into: int,
    width: int,
    dilations: list[int],
    head: int,
    bias: bool,
    taps: list[int] | None = None,
    activation: Activation = _TANH,
    head_taps: int = 1,
) -> LayerArray:
    enter = draw.conv(into, width, bias=False)
    layers = tuple(
        Layer(
            conv=draw.conv(width, width, kernel, dilation),
            mixin=draw.conv(1, width, bias=False),
            activation=activation,
            residual=draw.conv(width, width),
        )
        for dilation, kernel in zip(dilations, taps or [3] * len(dilations), strict=True)
    )
    return LayerArray(enter, layers, draw.conv(width, head, head_taps, bias=bias))


def _seeded(make: Callable[..., WaveNet], *shape: object) -> Callable[[int], Network]:
    """Return a function that makes a network of a fixed shape from a seed."""

    def from_seed(seed: int) -> Network:
        return make(*shape, seed)

    return from_seed


UNTRAINED: Mapping[str, Callable[[int], Network]] = {
    "a1-standard": _seeded(a1, (16, 8), _STANDARD),
    "a1-lite": _seeded(a1, (12, 6), _FEATHER),
    "a1-feather": _seeded(a1, (8, 4), _FEATHER),
    "a1-nano": _seeded(a1, (4, 2), _FEATHER),
    "a2-full": _seeded(a2, 8),
    "a2-lite": _seeded(a2, 3),
}
"""Functions that make an untrained network from a seed, by name."""
