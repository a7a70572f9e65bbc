"""Run stages one after another: recurrent layers, plain convolutions, dense layers, normalisation.

This covers LSTM, ConvNet and Linear of `.nam` files, GuitarML's networks, and RTNeural and AIDA-X files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from neural_fx.networks.model import CausalConv, Model, State, array, tensor
from neural_fx.networks.nonlinearity import Nonlinearity
from neural_fx.networks.parts import Activation, Conv
from neural_fx.networks.sequential import description as spec


class Affine(nn.Module):
    """`x * scale + shift` for each channel of (batch, channels, samples).

    Args:
        affine: the description.
    """

    def __init__(self, affine: spec.Affine) -> None:
        super().__init__()
        self.spec = affine
        self.scale = nn.Parameter(tensor(affine.scale)[:, None])
        self.shift = nn.Parameter(tensor(affine.shift)[:, None])

    def describe(self) -> spec.Affine:
        """Return the description with the current weights."""
        return spec.Affine(array(self.scale[:, 0]), array(self.shift[:, 0]))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift each channel."""
        return x * self.scale + self.shift


class Recurrent(nn.Module):
    """LSTM or GRU layers over (batch, channels, samples).

    The state is h, and c for an LSTM, each (batch, layers, hidden).

    Args:
        recurrent: the description.
    """

    def __init__(self, recurrent: spec.Recurrent) -> None:
        super().__init__()
        first, count = recurrent.layers[0], len(recurrent.layers)
        kind = nn.LSTM if recurrent.kind == "lstm" else nn.GRU
        self.rnn = kind(first.w_ih.shape[1], first.hidden_size, count, batch_first=True)
        for i, layer in enumerate(recurrent.layers):
            for name, value in (("weight_ih", layer.w_ih), ("weight_hh", layer.w_hh)):
                getattr(self.rnn, f"{name}_l{i}").data.copy_(tensor(value))
            getattr(self.rnn, f"bias_ih_l{i}").data.copy_(tensor(layer.b_ih))
            getattr(self.rnn, f"bias_hh_l{i}").data.copy_(tensor(layer.b_hh))
        self.h0: Tensor
        self.c0: Tensor
        self.register_buffer("h0", torch.stack([tensor(layer.h0) for layer in recurrent.layers]))
        cells = [layer.c0 if layer.c0 is not None else layer.h0 for layer in recurrent.layers]
        self.register_buffer("c0", torch.stack([tensor(c) for c in cells]))
        self.lstm, self.spec = recurrent.kind == "lstm", recurrent

    def describe(self) -> spec.Recurrent:
        """Return the description with the current weights."""
        layers = []
        for i, layer in enumerate(self.spec.layers):
            names = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
            weights = {name: array(getattr(self.rnn, f"{own}_l{i}")) for name, own in names.items()}
            layers.append(replace(layer, **weights))
        return replace(self.spec, layers=tuple(layers))

    def initial_state(self, batch: int) -> State:
        """Return the start state that the file gives, for `batch` streams."""
        start = [self.h0, self.c0] if self.lstm else [self.h0]
        return [s.expand(batch, *s.shape).contiguous() for s in start]

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run a block: (batch, in, samples) to (batch, hidden, samples), and the next state."""
        inner = [s.transpose(0, 1).contiguous() for s in state]
        y, after = self.rnn(x.transpose(1, 2), tuple(inner) if self.lstm else inner[0])
        outer = after if self.lstm else (after,)
        return y.transpose(1, 2), [s.transpose(0, 1).contiguous() for s in outer]


class SequentialModel(Model):
    """A `Sequential` description as a module.

    Args:
        network: the description.
    """

    def __init__(self, network: spec.Sequential) -> None:
        super().__init__()
        self.in_channels, self.out_channels = network.in_channels, network.out_channels
        self.stages = nn.ModuleList(_STAGES[type(stage)](stage) for stage in network.stages)
        self.skip = network.skip
        self.input_gain, self.output_gain, self.spec = network.input_gain, network.output_gain, network

    def describe(self) -> spec.Sequential:
        """Return the description with the current weights."""
        stages = tuple(cast("_Describable", stage).describe() for stage in self.stages)
        return replace(self.spec, stages=stages)

    def initial_state(self, batch: int) -> State:
        state: State = []
        for stage in self.stages:
            if isinstance(stage, Recurrent):
                state += stage.initial_state(batch)
            elif isinstance(stage, CausalConv):
                state.append(stage.initial_state(batch))
        return state

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.input_gain != 1:
            x = torch.cat((x[:, :1] * self.input_gain, x[:, 1:]), 1)
        y = x
        after: State = []
        for stage in self.stages:
            if isinstance(stage, Recurrent):
                own = 2 if stage.lstm else 1
                y, part = stage(y, state[len(after) : len(after) + own])
                after += part
            elif isinstance(stage, CausalConv):
                y, past = stage(y, state[len(after)])
                after.append(past)
            else:
                y = stage(y)
        if self.skip:
            y = y + x[:, :1]
        return y * self.output_gain if self.output_gain != 1 else y, after


_Describable = Affine | Recurrent | CausalConv | Nonlinearity
_STAGES = {Conv: CausalConv, Activation: Nonlinearity, spec.Affine: Affine, spec.Recurrent: Recurrent}
