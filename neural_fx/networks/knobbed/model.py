"""Run a WaveNet whose weights follow knobs, by feature-wise modulation (Perez 2018) that folds into the weights.

While the knobs rest, it is a plain WaveNet. `KnobbedModel.folded` returns the weights of that WaveNet as tensors, one
set for each item of a batch. Training runs on these weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from neural_fx.networks.knobbed import description as spec
from neural_fx.networks.knobbed.folding import GRID, modulation_sizes
from neural_fx.networks.model import Model, State, add, array, tensor
from neural_fx.networks.wavenet.model import WaveNetModel


class KnobbedModel(Model):
    """A `Knobbed` description as a module. Its inputs are the audio, then a row per knob.

    `neural_fx.networks.knobbed.folding` explains how the output follows a turning knob. Output levels act on every
    sample.

    Args:
        network: the description.
    """

    def __init__(self, network: spec.Knobbed) -> None:
        super().__init__()
        self.spec = network
        self.in_channels, self.out_channels = network.in_channels, network.out_channels
        self.base = WaveNetModel(network.network)
        layers: list[nn.Module] = []
        for dense in network.dense:
            linear = nn.Linear(*dense.weight.shape[::-1])
            linear.weight, linear.bias = nn.Parameter(tensor(dense.weight)), nn.Parameter(tensor(dense.bias))
            layers += [nn.Tanh(), linear] if layers else [linear]
        self.dense = nn.Sequential(*layers)
        self.sizes = modulation_sizes(network.network)
        self.learned = list(network.learned)
        for i, level in enumerate(network.levels):  # buffers, because a CUDA graph cannot copy them to the device
            self.register_buffer(f"level_{i}", tensor(level.gains), persistent=False)

    def describe(self) -> spec.Knobbed:
        """Return the description with the current weights."""
        linears = [layer for layer in self.dense if isinstance(layer, nn.Linear)]
        dense = tuple(spec.Dense(array(linear.weight), array(linear.bias)) for linear in linears)
        return replace(self.spec, network=self.base.describe(), dense=dense)

    def folded(self, knobs: Tensor) -> dict[str, Tensor]:
        """Return the weights of the plain WaveNet at each knob position.

        Args:
            knobs: (batch, knobs), rotations 0..1.

        Returns:
            The parameters of `base` by name, each with the batch dimension first.
        """
        modulation = self.dense(2 * knobs[:, self.learned] - 1)
        parts = iter(modulation.split(self.sizes, 1))
        batch = knobs.shape[0]
        weights = {name: p.expand(batch, *p.shape) for name, p in self.base.named_parameters()}
        for i, stack in enumerate(self.base.arrays):
            for j, _ in enumerate(stack.layers):
                layer = f"arrays.{i}.layers.{j}"
                scale, shift = 1 + next(parts), next(parts)
                for name in (f"{layer}.conv", f"{layer}.mixin"):
                    weights[f"{name}.weight"] = weights[f"{name}.weight"] * scale[:, :, None, None]
                    if f"{name}.bias" in weights:
                        weights[f"{name}.bias"] = weights[f"{name}.bias"] * scale
                weights[f"{layer}.conv.bias"] = weights[f"{layer}.conv.bias"] + shift
            head = f"arrays.{i}.head.weight"
            weights[head] = weights[head] * (1 + next(parts))[:, None, :, None]
        return weights

    def initial_state(self, batch: int) -> State:
        """Return the initial state of `batch` streams.

        It is the state of `base`, then four tensors: samples since the start of the stream, the knobs when they were
        last read, and the modulation before and after that.
        """
        position = torch.zeros(batch, 1, dtype=torch.long, device=self.base.head_scale.device)
        blank = self.base.head_scale.new_zeros
        ends = [blank(batch, sum(self.sizes)) for _ in range(2)]
        return [*self.base.initial_state(batch), position, blank(batch, self.spec.knobs), *ends]

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        audio, knobs = x[:, : -self.spec.knobs], x[:, -self.spec.knobs :]
        *past, position, held, before, after = state
        at, outputs, start = int(position[0, 0]), [], 0
        while start < x.shape[2]:
            if at % GRID == 0:
                now = knobs[:, :, start]
                goal = self.dense(2 * now[:, self.learned] - 1)
                held, before, after = now, (after if at else goal), goal
            end = start + GRID - at % GRID
            # While the modulation rests, the samples up to the next turn of a knob run in one piece.
            if torch.equal(before, after):
                end = self._next_turn(knobs, held, end)
            y, past = self._modulated(audio[:, :, start:end], past, before, after, at % GRID)
            outputs.append(y)
            at, start = at + y.shape[2], start + y.shape[2]
        y = torch.cat(outputs, 2) if outputs else audio[:, :0]
        return self._levels(y, knobs), [*past, position + x.shape[2], held, before, after]

    def steady(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run a block of streams whose knobs rest (see `rests_at`).

        Each item may have knob values of its own and its own position in the stream.

        Args:
            x: (batch, in_channels, samples).
            state: from the previous call.

        Returns:
            The output, (batch, out_channels, samples), and the next state.
        """
        audio, knobs = x[:, : -self.spec.knobs], x[:, -self.spec.knobs :]
        *past, position, held, before, after = state
        y, past = self._modulated(audio, past, after, after, 0)
        return self._levels(y, knobs), [*past, position + x.shape[2], held, before, after]

    def rests_at(self, state: State) -> np.ndarray | None:
        """Return the knobs (knobs,) at which the one item of a state rests, or None while they move."""
        *_, position, held, before, after = state
        return array(held[0]) if int(position[0, 0]) and torch.equal(before, after) else None

    def _next_turn(self, knobs: Tensor, held: Tensor, first: int) -> int:
        """Return the first of the samples `first`, `first` + GRID, ... at which a knob differs from `held`."""
        changed = (knobs[:, :, first::GRID] != held[:, :, None]).any(1).any(0).nonzero()
        return first + GRID * int(changed[0]) if len(changed) else knobs.shape[2]

    def _modulated(self, x: Tensor, past: State, before: Tensor, after: Tensor, at: int) -> tuple[Tensor, State]:
        """Run the network while the modulation moves from `before` to `after`.

        Args:
            x: (batch, audio channels, samples), at most up to the next reading of the knobs if the modulation moves.
            past: state of `base`.
            before: (batch, values), modulation when the knobs were last read.
            after: (batch, values), modulation that it reaches `GRID` samples later.
            at: samples since the knobs were last read.

        Returns:
            The output, (batch, out_channels, samples), and the next state of `base`.
        """
        fused = self._fused(x, past, before, after)
        if fused is not None:
            return fused
        progress = (at + 1 + torch.arange(x.shape[2], device=x.device)) / GRID
        ways = []
        for begin, end in zip(*(torch.split(m, self.sizes, 1) for m in (before, after)), strict=True):
            still = before is after or torch.equal(begin, end)
            ways.append(end[:, :, None] if still else begin[:, :, None] + (end - begin)[:, :, None] * progress)
        parts, states, following = iter(ways), iter(past), []
        r, total = x, None
        for stack in self.base.arrays:
            r = stack.rechannel.convolve(r)
            for layer in stack.layers:
                z, state = layer.conv(r, next(states))
                following.append(state)
                z = layer.mixin.convolve(x, onto=z) * (1 + next(parts)) + next(parts)
                r, term = layer.rest(r, layer.activate(z), x)
                total = add(total, term)
            assert total is not None
            total, state = stack.head(total * (1 + next(parts)), next(states))
            following.append(state)
        assert total is not None
        return total * self.base.head_scale, following

    def _fused(self, x: Tensor, past: State, before: Tensor, after: Tensor) -> tuple[Tensor, State] | None:
        """Run the network in fused kernels, or return None if there are none or the modulation moves."""
        stacks = list(self.base.arrays)
        if torch.is_grad_enabled() or any(stack.fused is None for stack in stacks):
            return None
        if before is not after and not torch.equal(before, after):
            return None
        r, at = x, 0
        total: Tensor | None = None
        following: State = []
        sizes = iter(self.sizes)
        for stack in stacks:
            own = len(stack.layers) + 1
            assert stack.fused is not None
            found = stack.fused(r, x, total, past[len(following) : len(following) + own], after[:, at:])
            if found is None:
                return None
            r, total, state = found
            following += state
            at += sum(next(sizes) for _ in range(2 * len(stack.layers) + 1))
        assert total is not None
        return total * self.base.head_scale, following

    def _levels(self, y: Tensor, knobs: Tensor) -> Tensor:
        for i, level in enumerate(self.spec.levels):
            gains: Tensor = getattr(self, f"level_{i}")
            place = (knobs[:, level.index, :] * (len(gains) - 1)).clamp(0, len(gains) - 1)
            low = place.floor().long().clamp(max=len(gains) - 2)
            gain = gains[low] + (place - low) * (gains[low + 1] - gains[low])
            y = y * gain[:, None]
        return y
