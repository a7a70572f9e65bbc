"""Describe WaveNets: stacks of dilated causal convolutions with a shared condition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from neural_fx.networks.parts import Activation, Conv, Network

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

_SIGMOID = Activation("sigmoid")


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
    """One dilated layer of a WaveNet; see `neural_fx.networks.wavenet.model.Layer` for its arithmetic.

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
    secondary: Activation = _SIGMOID
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
