"""A WaveNet whose weights follow knobs: feature-wise modulation (Perez 2018) that folds into the weights.

Holding the knobs makes it a plain WaveNet, whose weights `KnobbedModel.folded` gives as tensors, one set per item of
a batch: training runs on those, whichever kernels run them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from neural_fx.formats import network as spec
from neural_fx.formats.knobbed import GRID, modulation_sizes
from neural_fx.models.base import Model, State, array, tensor
from neural_fx.models.wavenet import WaveNetModel


class KnobbedModel(Model):
    """A `Knobbed` description as a module: inputs are the audio, then a row per knob.

    The knobs are read every `GRID` samples of the stream, counted from its start, and held in between, so blocks of
    any sizes give the same output; output levels act on every sample.
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

    def describe(self) -> spec.Knobbed:
        """The description with the weights of this moment."""
        linears = [layer for layer in self.dense if isinstance(layer, nn.Linear)]
        dense = tuple(spec.Dense(array(linear.weight), array(linear.bias)) for linear in linears)
        return replace(self.spec, network=self.base.describe(), dense=dense)

    def folded(self, knobs: Tensor) -> dict[str, Tensor]:
        """Weights of the plain WaveNet at each position: (batch, knobs) -> parameters of `base`, batch first."""
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
        """The base's, then the position in the grid and the knobs held since its last line."""
        position = torch.zeros(batch, 1, dtype=torch.long, device=self.base.head_scale.device)
        held = self.base.head_scale.new_zeros(batch, self.spec.knobs)
        return [*self.base.initial_state(batch), position, held]

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        audio, knobs = x[:, :-self.spec.knobs], x[:, -self.spec.knobs :]
        *past, position, held = state
        at, outputs = int(position[0, 0]), []
        start = 0
        while start < x.shape[2]:
            if at % GRID == 0:
                held = knobs[:, :, start]
            end = self._constant_until(knobs, held, start, at)
            y, past = self._held(audio[:, :, start:end], past, held)
            outputs.append(y)
            at, start = at + end - start, end
        y = torch.cat(outputs, 2) if outputs else audio[:, :0]
        return self._levels(y, knobs), [*past, position + x.shape[2], held]

    def _constant_until(self, knobs: Tensor, held: Tensor, start: int, at: int) -> int:
        """The end of the stretch from `start` on over which every line of the grid finds the knobs as they are."""
        first = start + GRID - at % GRID
        lines = knobs[:, :, first::GRID]
        changed = (lines != held[:, :, None]).any(1).any(0).nonzero()
        return min(knobs.shape[2], first + GRID * int(changed[0]) if len(changed) else knobs.shape[2])

    def _held(self, x: Tensor, past: State, knobs: Tensor) -> tuple[Tensor, State]:
        weights, outputs, after = self.folded(knobs), [], []
        for i in range(x.shape[0]):
            own = {name: w[i] for name, w in weights.items()}
            y, state = functional_call(self.base, own, (x[i : i + 1], [s[i : i + 1] for s in past]))
            outputs.append(y)
            after.append(state)
        return torch.cat(outputs), [torch.cat(parts) for parts in zip(*after, strict=True)]

    def _levels(self, y: Tensor, knobs: Tensor) -> Tensor:
        for level in self.spec.levels:
            gains = tensor(level.gains).to(y)
            place = (knobs[:, level.index, :] * (len(gains) - 1)).clamp(0, len(gains) - 1)
            low = place.floor().long().clamp(max=len(gains) - 2)
            gain = gains[low] + (place - low) * (gains[low + 1] - gains[low])
            y = y * gain[:, None]
        return y
