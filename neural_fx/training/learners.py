"""Run a network in training over windows and knob positions, on the fastest kernels for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from neural_fx.errors import TrainingError
from neural_fx.networks import Knobbed, Network, Slimmable, WaveNet, build, is_recurrent, kind_of
from neural_fx.networks.knobbed.model import KnobbedModel
from neural_fx.networks.model import Model
from neural_fx.training import compiled

MEMORY = 4096
"""Samples that a recurrent network gets before a window, because it has no receptive field."""


class Learner(nn.Module):
    """A network in training.

    Args:
        network: initial network; it is not changed.
        device: torch device. On ``cpu``, plain WaveNets run in the compiled kernels.
        window: output samples per window.
        batch: windows per step.
        threads: cores for the compiled kernels.

    Attributes:
        context: input samples before the first output of a window.
    """

    def __init__(self, network: Network, device: str, window: int, batch: int, threads: int) -> None:
        super().__init__()
        kind = kind_of(network)
        if not kind.trains:
            hint = "; train one of its sizes" if isinstance(network, Slimmable) else ""
            raise TrainingError(f"a {kind.name} network cannot be trained{hint}")
        self.context = MEMORY if is_recurrent(network) else network.receptive_field - 1
        self.model: Model = build(network).to(torch.device(device))
        plain = network.network if isinstance(network, Knobbed) else network
        self.plain = plain if isinstance(plain, WaveNet) and device == "cpu" and compiled.supports(plain) else None
        if self.plain is not None:
            self.windows = compiled.Windows(self.plain, window + self.context, batch, threads)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.model.parameters()).device

    def describe(self) -> Network:
        """Return the network with its current weights."""
        return self.model.describe()

    def forward(self, x: Tensor, knobs: Tensor) -> Tensor:
        """Run the network over a batch of windows.

        Args:
            x: audio, (batch, context + window).
            knobs: rotations 0 to 1, (batch, knobs).

        Returns:
            (batch, window).
        """
        if isinstance(self.model, KnobbedModel):
            weights = self.model.folded(knobs)
            if self.plain is not None:
                return self.windows.run(compiled.flatten(weights, self.plain), x[:, None])
            base, start = self.model.base, self.model.base.initial_state(1)

            def one(own: dict[str, Tensor], audio: Tensor) -> Tensor:
                output: Tensor = functional_call(base, own, (audio[None, None], start))[0]
                return output[0, 0, self.context :]

            outputs: Tensor = vmap(one)(weights, x)
            return outputs
        if self.plain is not None:
            own = {name: p.expand(len(x), *p.shape) for name, p in self.model.named_parameters()}
            return self.windows.run(compiled.flatten(own, self.plain), x[:, None])
        inputs = torch.cat((x[:, None], knobs[:, :, None].expand(*knobs.shape, x.shape[1])), 1)
        return self.model.run(inputs)[:, 0, self.context :]
