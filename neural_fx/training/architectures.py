"""Make untrained networks in well-known architectures, by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from neural_fx.errors import TrainingError
from neural_fx.formats.knobbed import modulation_sizes
from neural_fx.formats.network import (
    Activation,
    Array,
    Conv,
    Dense,
    Knobbed,
    Layer,
    LayerArray,
    Recurrent,
    RecurrentLayer,
    Sequential,
    WaveNet,
)

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
    draw = _Initializer(seed)
    first = _stack(draw, 1, channels[0], dilations[0], head=channels[1], bias=False)
    second = _stack(draw, channels[0], channels[1], dilations[1], head=1, bias=True)
    return WaveNet((first, second), head_scale=0.02)


class _Initializer:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def array(self, fan_in: int, *shape: int) -> Array:
        bound = 1 / np.sqrt(fan_in)
        return self.rng.uniform(-bound, bound, shape).astype(np.float32)

    def conv(self, into: int, out: int, taps: int = 1, dilation: int = 1, bias: bool = True) -> Conv:
        fan = into * taps
        return Conv(self.array(fan, out, into, taps), self.array(fan, out) if bias else None, dilation)


def _stack(
    draw: _Initializer,
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
    stack = _stack(_Initializer(seed), 1, width, dilations, 1, True, taps, leaky, head_taps=16)
    return WaveNet((stack,), head_scale=0.01)


def lstm(hidden: int = 16, seed: int = 0) -> Sequential:
    """Make a network of one LSTM layer and a linear output, like most recurrent captures.

    Args:
        hidden: units of the LSTM.
        seed: random seed for the weights.
    """
    draw = _Initializer(seed)
    layer = RecurrentLayer(
        w_ih=draw.array(hidden, 4 * hidden, 1),
        w_hh=draw.array(hidden, 4 * hidden, hidden),
        b_ih=draw.array(hidden, 4 * hidden),
        b_hh=draw.array(hidden, 4 * hidden),
        h0=np.zeros(hidden, np.float32),
        c0=np.zeros(hidden, np.float32),
    )
    return Sequential(1, 1, (Recurrent("lstm", (layer,)), draw.conv(hidden, 1)))


def smc(width: int = 16, seed: int = 0) -> WaveNet:
    """Make WaveNet1 of Damskägg et al. (SMC 2019).

    It has ten gated layers with dilations 1 to 512, which are all mixed to the output.

    Args:
        width: channels of the layers.
        seed: random seed for the weights.
    """
    draw = _Initializer(seed)
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


ARCHITECTURES: dict[str, Callable[[int], WaveNet | Sequential]] = {
    "a1-standard": lambda seed: a1((16, 8), _STANDARD, seed),
    "a1-lite": lambda seed: a1((12, 6), _FEATHER, seed),
    "a1-feather": lambda seed: a1((8, 4), _FEATHER, seed),
    "a1-nano": lambda seed: a1((4, 2), _FEATHER, seed),
    "a2-full": lambda seed: a2(8, seed),
    "a2-lite": lambda seed: a2(3, seed),
    "lstm": lambda seed: lstm(16, seed),
}
"""Functions that make an untrained network from a seed, by name."""


def untrained(name: str, seed: int = 0) -> WaveNet | Sequential:
    """Return an untrained network.

    Args:
        name: a key of `ARCHITECTURES`.
        seed: random seed for the weights.

    Raises:
        TrainingError: the name is unknown. The message lists the known names.
    """
    if name not in ARCHITECTURES:
        raise TrainingError(f"unknown architecture {name!r}; known: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name](seed)


def knobbed(network: WaveNet, knobs: int, hidden: int = 32, seed: int = 0) -> Knobbed:
    """Add knobs to a WaveNet.

    Two hidden layers turn the knob positions into a modulation of the WaveNet's weights. The modulation is small at
    the start of a training.

    Args:
        network: the WaveNet.
        knobs: number of knobs.
        hidden: units of each hidden layer.
        seed: random seed for the weights of the hidden layers.
    """
    draw = _Initializer(seed)
    sizes = (knobs, hidden, hidden, sum(modulation_sizes(network)))
    dense = tuple(Dense(draw.array(into, out, into), draw.array(into, out)) for into, out in itertools.pairwise(sizes))
    last = Dense(0.3 * dense[-1].weight, 0 * dense[-1].bias)
    return Knobbed(network, tuple(range(knobs)), (*dense[:-1], last))


def pedal(width: int = 16, seed: int = 0) -> WaveNet:
    """Make the network of the bundled pedals.

    It has one stack of 20 tanh layers with kernel 3 and dilations 1 to 512, twice.

    Args:
        width: channels of the stack.
        seed: random seed for the weights.
    """
    draw = _Initializer(seed)
    return WaveNet((_stack(draw, 1, width, _STANDARD[0] * 2, head=1, bias=True),), head_scale=0.1)
