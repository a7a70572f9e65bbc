"""Describe networks as plain data in torch's shapes, the same for every file format.

Four kinds of network cover every capture in use:

- `WaveNet`: stacks of dilated causal convolutions with a shared condition (van den Oord 2016, Damskägg 2019);
- `Sequential`: stages one after another (recurrent layers, dense layers, plain convolutions, normalisation);
- `Slimmable`: one capture in several sizes, chosen while playing;
- `Knobbed`: a WaveNet whose weights follow knobs. At every knob position it is an ordinary WaveNet.

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
    """A pointwise nonlinearity.

    Attributes:
        name: one of `tanh, hardtanh, fasttanh, relu, leaky_relu, prelu, sigmoid, silu, hardswish, leaky_hardtanh,
            softsign, elu, softmax, linear`.
        params: keyword arguments of torch's function of the same name.
        slopes: (channels,), for `prelu` only.
    """

    name: str
    params: dict[str, float] = field(default_factory=dict)
    slopes: Array | None = None


@dataclass(frozen=True)
class Conv:
    """A causal convolution.

    Attributes:
        weight: (out, in / groups, taps). The last tap belongs to the current sample.
        bias: (out,), or None.
        dilation: samples between taps.
        groups: number of groups that input and output channels are split into.
    """

    weight: Array
    bias: Array | None = None
    dilation: int = 1
    groups: int = 1

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return int(self.weight.shape[0])

    @property
    def in_channels(self) -> int:
        """Number of input channels, of all groups together."""
        return int(self.weight.shape[1]) * self.groups

    @property
    def history(self) -> int:
        """Number of past samples that the convolution needs."""
        return (int(self.weight.shape[2]) - 1) * self.dilation


@dataclass(frozen=True)
class Film:
    """Feature-wise linear modulation (Perez 2018): `value * scale(c) + shift(c)`.

    Attributes:
        conv: the 1x1 convolution of the condition c that gives the scale, then the shift.
        shift: whether there is a shift.
    """

    conv: Conv
    shift: bool


@dataclass(frozen=True)
class Layer:
    """One dilated layer of a WaveNet; see `neural_fx.models.wavenet.Layer` for its arithmetic.

    Attributes:
        conv: the dilated convolution of the residual signal.
        mixin: the 1x1 convolution of the condition.
        activation: of the sum of both.
        gating: how the second half of the channels gates the first.
        secondary: activation of the gate.
        residual: 1x1 convolution on the way to the next layer, if any.
        head: 1x1 convolution on the way to the head, if any.
        films: modulations by the site where they act, one of `FILM_SITES`.
    """

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
    """A stack of layers.

    Attributes:
        rechannel: 1x1 convolution from the input to the stack's channels.
        layers: one after another.
        head: convolution of the sum of the layers' head outputs.
    """

    rechannel: Conv
    layers: tuple[Layer, ...]
    head: Conv

    @property
    def receptive_field(self) -> int:
        """Number of past samples that the stack needs."""
        return sum(layer.conv.history for layer in self.layers) + self.head.history


@dataclass(frozen=True)
class WaveNet:
    """Stacks of dilated layers.

    Attributes:
        arrays: the stacks, one after another.
        head_scale: linear factor of the last stack's head.
        post_head: stages after the scaled head, each an activation and a convolution.
        condition: network that computes the condition c from the input. If None, the input is the condition.
    """

    arrays: tuple[LayerArray, ...]
    head_scale: float = 1.0
    post_head: tuple[tuple[Activation, Conv], ...] = ()
    condition: Network | None = None

    @property
    def in_channels(self) -> int:
        """Number of inputs: the audio, then the knobs."""
        return self.arrays[0].rechannel.in_channels

    @property
    def out_channels(self) -> int:
        """Number of outputs, after the stages that follow the head."""
        return (self.post_head[-1][1] if self.post_head else self.arrays[-1].head).out_channels

    @property
    def receptive_field(self) -> int:
        """Number of input samples, with the current one, that an output sample depends on."""
        past = sum(a.receptive_field for a in self.arrays) + sum(c.history for _, c in self.post_head)
        return past + (self.condition.receptive_field if self.condition else 1)


@dataclass(frozen=True)
class RecurrentLayer:
    """Weights of one layer of `torch.nn.LSTM` or `torch.nn.GRU`, with H hidden units.

    Attributes:
        w_ih: (gates * H, in).
        w_hh: (gates * H, H).
        b_ih: (gates * H,).
        b_hh: (gates * H,).
        h0: (H,), hidden state at the start.
        c0: (H,), cell state at the start, for an LSTM.
    """

    w_ih: Array
    w_hh: Array
    b_ih: Array
    b_hh: Array
    h0: Array
    c0: Array | None = None

    @property
    def hidden_size(self) -> int:
        """Number of hidden units."""
        return int(self.w_hh.shape[1])


@dataclass(frozen=True)
class Recurrent:
    """LSTM or GRU layers, one after another.

    Attributes:
        kind: ``lstm`` or ``gru``. Gates are in torch's order: i, f, g, o for an LSTM; r, z, n for a GRU.
        layers: weights, the first layer first.
    """

    kind: Literal["lstm", "gru"]
    layers: tuple[RecurrentLayer, ...]


@dataclass(frozen=True)
class Affine:
    """`x * scale + shift` for each channel, as a batch normalisation is at inference.

    Attributes:
        scale: (channels,).
        shift: (channels,).
    """

    scale: Array
    shift: Array


Stage: TypeAlias = Conv | Activation | Affine | Recurrent


@dataclass(frozen=True)
class Sequential:
    """Stages one after another.

    Attributes:
        in_channels: the audio, then the knobs.
        out_channels: 1 for a mono effect.
        stages: in order.
        skip: whether the audio input is added to the output.
        input_gain: linear factor of the audio input. AIDA-X files may state it.
        output_gain: linear factor of the output. AIDA-X files may state it.
    """

    in_channels: int
    out_channels: int
    stages: tuple[Stage, ...]
    skip: bool = False
    input_gain: float = 1.0
    output_gain: float = 1.0

    @property
    def receptive_field(self) -> int:
        """Number of input samples that an output sample depends on through the convolutions.

        Recurrent layers are not counted: their memory has no end.
        """
        return 1 + sum(s.history for s in self.stages if isinstance(s, Conv))


@dataclass(frozen=True)
class Slimmable:
    """One capture in several sizes.

    Attributes:
        sizes: the networks, the smallest first.
        limits: `sizes[i]` plays while `size < limits[i]`. The last one plays above.
    """

    sizes: tuple[Network, ...]
    limits: tuple[float, ...]

    @property
    def in_channels(self) -> int:
        """Number of inputs, which is the same for all sizes."""
        return self.sizes[-1].in_channels

    @property
    def out_channels(self) -> int:
        """Number of outputs, which is the same for all sizes."""
        return self.sizes[-1].out_channels

    @property
    def receptive_field(self) -> int:
        """Receptive field of the size that has the largest."""
        return max(n.receptive_field for n in self.sizes)

    def pick(self, size: float) -> int:
        """Return the index of the network that plays at `size` (0..1)."""
        return next((i for i, limit in enumerate(self.limits) if size < limit), len(self.sizes) - 1)


@dataclass(frozen=True)
class Dense:
    """A fully connected layer.

    Attributes:
        weight: (out, in).
        bias: (out,).
    """

    weight: Array
    bias: Array


@dataclass(frozen=True)
class Level:
    """A knob that only sets the output gain.

    Attributes:
        index: of the knob.
        gains: linear gains at evenly spaced rotations from 0 to 1.
    """

    index: int
    gains: Array


@dataclass(frozen=True)
class Knobbed:
    """A WaveNet whose weights follow knobs; `neural_fx.formats.knobbed.fold` returns the WaveNet at a position.

    The dense layers, with tanh between them, map the learned knobs to a modulation. Each knob enters as
    2 * rotation - 1. The modulation has two parts:

    - for every layer, a scale and a shift of the input of its activation;
    - for every stack, a scale of the input of its head.

    A scale is 1 plus the output of the dense layers.

    Attributes:
        network: the WaveNet that is modulated.
        learned: indices of the knobs that the dense layers read.
        dense: the dense layers.
        levels: knobs that multiply the output.
    """

    network: WaveNet
    learned: tuple[int, ...]
    dense: tuple[Dense, ...]
    levels: tuple[Level, ...] = ()

    @property
    def knobs(self) -> int:
        """Number of knobs."""
        return len(self.learned) + len(self.levels)

    @property
    def in_channels(self) -> int:
        """Number of inputs: the audio, then the knobs."""
        return self.network.in_channels + self.knobs

    @property
    def out_channels(self) -> int:
        """Number of outputs."""
        return self.network.out_channels

    @property
    def receptive_field(self) -> int:
        """Receptive field of the WaveNet."""
        return self.network.receptive_field


Network: TypeAlias = WaveNet | Sequential | Slimmable | Knobbed


def is_recurrent(network: Network) -> bool:
    """Return whether the network has recurrent layers, whose memory has no end."""
    return any(isinstance(part, Recurrent) for part in walk(network))


def largest(network: Network) -> Network:
    """Return the largest size of a slimmable network, or any other network itself."""
    while isinstance(network, Slimmable):
        network = network.sizes[-1]
    return network


def walk(part: object) -> Iterator[object]:
    """Yield every dataclass of a description, the outermost first."""
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
