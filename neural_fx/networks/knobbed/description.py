"""Describe WaveNets whose weights follow knobs."""

from __future__ import annotations

from dataclasses import dataclass

from neural_fx.arrays import Array
from neural_fx.networks.wavenet.description import WaveNet


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
    """A WaveNet whose weights follow knobs.

    `neural_fx.networks.knobbed.folding.fold` returns the WaveNet at a position of the knobs.

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
