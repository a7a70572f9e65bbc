"""What a model file describes, once read: plain data in torch's shapes, the same for every file format.

Four kinds of network cover every capture in use:

- `WaveNet`: stacks of dilated causal convolutions with a shared condition (van den Oord 2016, Damskägg 2019);
- `Sequential`: stages one after another (recurrent layers, dense layers, plain convolutions, normalisation);
- `Slimmable`: the same capture in several sizes, chosen while playing;
- `Knobbed`: a WaveNet whose weights follow knobs, an ordinary WaveNet at every position.

Nothing here knows a file format, runs a model, or needs torch. Arrays are float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Gating: TypeAlias = Literal["none", "gated", "blended"]

FILM_SITES = (
    "conv_pre_film",
    "conv_post_film",
    "input_mixin_pre_film",
    "input_mixin_post_film",
    "activation_pre_film",
    "activation_post_film",
    "layer1x1_post_film",
    "head1x1_post_film",
)


@dataclass(frozen=True)
class Activation:
    """A pointwise nonlinearity. `params` are those of torch's function of the same name.

    `name` is one of `tanh, hardtanh, fasttanh, relu, leaky_relu, prelu, sigmoid, silu, hardswish, leaky_hardtanh,
    softsign, elu, softmax, linear`. `slopes` (channels,) belongs to `prelu` alone.
    """

    name: str
    params: dict[str, float] = field(default_factory=dict)
    slopes: Array | None = None


@dataclass(frozen=True)
class Conv:
    """A causal convolution. `weight` (out, in / groups, taps), last tap = current sample; `bias` (out,)."""

    weight: Array
    bias: Array | None = None
    dilation: int = 1
    groups: int = 1

    @property
    def out_channels(self) -> int:
        return int(self.weight.shape[0])

    @property
    def in_channels(self) -> int:
        return int(self.weight.shape[1]) * self.groups

    @property
    def history(self) -> int:
        """Past samples the convolution looks back on."""
        return (int(self.weight.shape[2]) - 1) * self.dilation


@dataclass(frozen=True)
class Film:
    """Feature-wise linear modulation (Perez 2018): `value * scale(c) [+ shift(c)]`, both from one 1x1 conv of c."""

    conv: Conv
    shift: bool


@dataclass(frozen=True)
class Layer:
    """One dilated layer of a WaveNet; see `neural_fx.models.wavenet.Layer` for its arithmetic."""

    conv: Conv
    mixin: Conv
    activation: Activation
    gating: Gating = "none"
    secondary: Activation = Activation("sigmoid")
    residual: Conv | None = None
    head: Conv | None = None
    films: dict[str, Film] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerArray:
    """A stack of layers between a channel change and a head convolution."""

    rechannel: Conv
    layers: tuple[Layer, ...]
    head: Conv

    @property
    def receptive_field(self) -> int:
        """Past samples this stack looks back on."""
        return sum(layer.conv.history for layer in self.layers) + self.head.history


@dataclass(frozen=True)
class WaveNet:
    """Stacks of layers; `post_head` stages run after the scaled head; `condition` computes c from the input."""

    arrays: tuple[LayerArray, ...]
    head_scale: float = 1.0
    post_head: tuple[tuple[Activation, Conv], ...] = ()
    condition: Network | None = None

    @property
    def in_channels(self) -> int:
        return self.arrays[0].rechannel.in_channels

    @property
    def out_channels(self) -> int:
        return (self.post_head[-1][1] if self.post_head else self.arrays[-1].head).out_channels

    @property
    def receptive_field(self) -> int:
        """Samples of input, the current one included, that an output sample depends on."""
        past = sum(a.receptive_field for a in self.arrays) + sum(c.history for _, c in self.post_head)
        return past + (self.condition.receptive_field if self.condition else 1)


@dataclass(frozen=True)
class RecurrentLayer:
    """Weights of `torch.nn.LSTM` / `torch.nn.GRU`: `w_ih` (gates*H, in), `w_hh` (gates*H, H), biases (gates*H,)."""

    w_ih: Array
    w_hh: Array
    b_ih: Array
    b_hh: Array
    h0: Array
    c0: Array | None = None

    @property
    def hidden_size(self) -> int:
        return int(self.w_hh.shape[1])


@dataclass(frozen=True)
class Recurrent:
    """LSTM or GRU layers on top of each other, gates in torch's order (i, f, g, o / r, z, n)."""

    kind: Literal["lstm", "gru"]
    layers: tuple[RecurrentLayer, ...]


@dataclass(frozen=True)
class Affine:
    """Per channel `x * scale + shift`: a batch normalisation at inference. Shapes (channels,)."""

    scale: Array
    shift: Array


Stage: TypeAlias = Conv | Activation | Affine | Recurrent


@dataclass(frozen=True)
class Sequential:
    """Stages one after another; with `skip` the first audio input is added to the output.

    `input_gain` and `output_gain` are linear factors (an AIDA-X file may carry them).
    """

    in_channels: int
    out_channels: int
    stages: tuple[Stage, ...]
    skip: bool = False
    input_gain: float = 1.0
    output_gain: float = 1.0

    @property
    def receptive_field(self) -> int:
        """Samples of input an output depends on through the convolutions (recurrent layers remember for ever)."""
        return 1 + sum(s.history for s in self.stages if isinstance(s, Conv))


@dataclass(frozen=True)
class Slimmable:
    """One capture in several sizes. `sizes[i]` plays while `size < limits[i]`; the last plays above."""

    sizes: tuple[Network, ...]
    limits: tuple[float, ...]

    @property
    def in_channels(self) -> int:
        return self.sizes[-1].in_channels

    @property
    def out_channels(self) -> int:
        return self.sizes[-1].out_channels

    @property
    def receptive_field(self) -> int:
        """The largest of its sizes."""
        return max(n.receptive_field for n in self.sizes)

    def pick(self, size: float) -> int:
        """Index of the network that plays at `size` (0..1)."""
        return next((i for i, limit in enumerate(self.limits) if size < limit), len(self.sizes) - 1)


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: `weight` (out, in), `bias` (out,)."""

    weight: Array
    bias: Array


@dataclass(frozen=True)
class Level:
    """A knob that only sets the output gain: knob `index`, linear gains at evenly spaced rotations from 0 to 1."""

    index: int
    gains: Array


@dataclass(frozen=True)
class Knobbed:
    """A WaveNet whose weights follow knobs; `neural_fx.formats.knobbed.fold` gives the WaveNet at a position.

    The `dense` layers (tanh between them) map the `learned` knobs, each as 2 * rotation - 1, to a modulation: for
    every layer a scale and a shift of what goes into its activation, for every stack a scale of what its head reads.
    Scales are the outputs plus 1. A `Level` multiplies the output.
    """

    network: WaveNet
    learned: tuple[int, ...]
    dense: tuple[Dense, ...]
    levels: tuple[Level, ...] = ()

    @property
    def knobs(self) -> int:
        return len(self.learned) + len(self.levels)

    @property
    def in_channels(self) -> int:
        """The audio, then the knobs."""
        return self.network.in_channels + self.knobs

    @property
    def out_channels(self) -> int:
        return self.network.out_channels

    @property
    def receptive_field(self) -> int:
        return self.network.receptive_field


Network: TypeAlias = WaveNet | Sequential | Slimmable | Knobbed


def is_recurrent(network: Network) -> bool:
    """Whether the network has a memory without end."""
    return any(isinstance(part, Recurrent) for part in walk(network))


def largest(network: Network) -> Network:
    """The network itself, or the largest of a slimmable one's."""
    while isinstance(network, Slimmable):
        network = network.sizes[-1]
    return network


def walk(part: object) -> Iterator[object]:
    """Every dataclass of the description, the outermost first."""
    if is_dataclass(part) and not isinstance(part, type):
        yield part
        for item in fields(part):
            yield from walk(getattr(part, item.name))
    elif isinstance(part, tuple):
        for item in part:
            yield from walk(item)
    elif isinstance(part, dict):
        for item in part.values():
            yield from walk(item)
