"""Describe networks whose stages run one after another: recurrent layers, convolutions, dense layers, scalings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from neural_fx.arrays import Array
from neural_fx.networks.parts import Activation, Conv


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
