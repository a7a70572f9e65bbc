"""Run autoregressive networks: the reference, and what training runs.

A network says how the next sample is distributed, given the previous sample, the conditions and its state. One call
takes a whole block of previous samples (teacher forcing in training) or a single one (generation). Blocks of any sizes,
one after another, equal one long call. That is the cached generation: the state holds every layer's past.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neural_fx.networks.autoregressive.description import Description, RecurrentSizes, WaveNetSizes
from neural_fx.networks.autoregressive.layers import (
    ContextStack,
    Front,
    GatedLayer,
    interpolated,
    phase_channels,
)

State = list[Tensor]
"""What a network keeps between blocks, with the batch dimension first."""


class Autoregressive(nn.Module):
    """A network that says how the next sample is distributed.

    Args:
        description: sizes, conditions and voices.
    """

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.description = description
        self.context = ContextStack(description.inputs)
        self.voices = nn.Parameter(torch.randn(len(description.voices), description.inputs.voice))

    def conditions(self, frames: Tensor, cycles: Tensor, voice: Tensor, offset: Tensor | int = 0) -> Tensor:
        """Return the conditions of every sample, (batch, samples, conditions).

        Args:
            frames: (batch, frames, frame) from the frame at or before the first sample, or from the start of the stream
                if there is a context stack.
            cycles: phase of the pitch, (batch, samples).
            voice: (batch, voice), rows of `voices` or anything between them.
            offset: sample at which to begin after the first frame, (batch,) or one for all.
        """
        samples = cycles.shape[1]
        hop = self.description.signal.hop
        parts = (
            interpolated(self.context(frames), hop, samples, offset),
            phase_channels(cycles, self.description.inputs.harmonics),
            voice[:, None].expand(-1, samples, -1),
        )
        return torch.cat(parts, dim=2)

    def first(self, batch: int) -> Tensor:
        """Return what precedes the first sample of a stream, silence, (batch, 1)."""
        if self.description.sizes.output == "classes":
            return torch.full((batch, 1), self.description.signal.zero, device=self.voices.device)
        return torch.zeros(batch, 1, device=self.voices.device)

    def previous(self, samples: Tensor) -> Tensor:
        """Return the sample before each of (batch, samples), from the start of a stream."""
        return torch.cat((self.first(len(samples)).to(samples.dtype), samples[:, :-1]), dim=1)

    def initial_state(self, batch: int) -> State:
        """Return the state of `batch` streams before their first sample: zeros."""
        raise NotImplementedError

    def forward(self, previous: Tensor, conditions: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run a block.

        Args:
            previous: the sample before each sample, (batch, samples): classes (int64), or values from -1 to 1 if the
                outputs are logistics.
            conditions: of each sample, (batch, samples, conditions).
            state: from `initial_state` or the previous call. None begins a stream.

        Returns:
            Distributions, (batch, samples, outputs): logits of the classes, or logits, means and logarithms of the
            scales of logistics. And the next state.
        """
        raise NotImplementedError


class WaveNet(Autoregressive):
    """A WaveNet. One deviation from the paper: the front has one tap instead of two.

    Args:
        description: with `WaveNetSizes`.
    """

    def __init__(self, description: Description) -> None:
        super().__init__(description)
        sizes = description.sizes
        assert isinstance(sizes, WaveNetSizes)
        count = len(sizes.dilations)
        self.front = Front(description, sizes.residual)
        self.layers = nn.ModuleList(
            GatedLayer(sizes.residual, sizes.skip, description.inputs.count, dilation, n + 1 == count)
            for n, dilation in enumerate(sizes.dilations)
        )
        self.skip = nn.ParameterDict({"bias": nn.Parameter(torch.zeros(sizes.skip))})
        self.hidden = nn.Linear(sizes.skip, sizes.skip)
        self.last = nn.Linear(sizes.skip, description.outputs)

    def initial_state(self, batch: int) -> State:
        """Return the past of every layer's input, (batch, dilation, residual) of zeros."""
        sizes = self.description.sizes
        assert isinstance(sizes, WaveNetSizes)
        return [self.voices.new_zeros(batch, dilation, sizes.residual) for dilation in sizes.dilations]

    def forward(self, previous: Tensor, conditions: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run a block, see `Autoregressive.forward`."""
        x = self.front(previous).to(conditions.dtype)
        activated = []
        state_after = []
        for n, layer in enumerate(self.layers):
            x, z, past = layer(x, conditions, None if state is None else state[n])
            activated.append(z)
            state_after.append(past)
        # The sum of all skip connections, as one product: it reads memory once instead of once per layer.
        weight = torch.cat([layer.skip.weight for layer in self.layers], dim=1)  # type: ignore[union-attr, misc]
        total = nn.functional.linear(torch.cat(activated, dim=2), weight, self.skip["bias"])
        return self.last(torch.relu(self.hidden(torch.relu(total)))), state_after


class Recurrent(Autoregressive):
    """A GRU that reads the previous sample and the conditions, and two output layers.

    Args:
        description: with `RecurrentSizes`.
    """

    def __init__(self, description: Description) -> None:
        super().__init__(description)
        sizes = description.sizes
        assert isinstance(sizes, RecurrentSizes)
        self.front = Front(description, sizes.embedded)
        self.recurrent = nn.GRU(sizes.embedded + description.inputs.count, sizes.units, batch_first=True)
        self.hidden = nn.Linear(sizes.units, sizes.hidden)
        self.last = nn.Linear(sizes.hidden, description.outputs)

    def initial_state(self, batch: int) -> State:
        """Return one tensor of zeros, (batch, units)."""
        return [self.voices.new_zeros(batch, self.recurrent.hidden_size)]

    def forward(self, previous: Tensor, conditions: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run a block, see `Autoregressive.forward`."""
        inputs = torch.cat((self.front(previous).to(conditions.dtype), conditions), dim=2)
        units, after = self.recurrent(inputs, None if state is None else state[0][None].contiguous())
        return self.last(torch.relu(self.hidden(units))), [after[0]]


def build(description: Description) -> Autoregressive:
    """Return a network of a description, with random weights."""
    return WaveNet(description) if isinstance(description.sizes, WaveNetSizes) else Recurrent(description)
