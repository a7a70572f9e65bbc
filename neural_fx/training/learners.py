"""What the training loop trains: a network as a function of windows and knobs, on the fastest kernels there are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from neural_fx.errors import TrainingError
from neural_fx.formats.network import Knobbed, Network, Slimmable, WaveNet, is_recurrent
from neural_fx.models import KnobbedModel, Model, build
from neural_fx.training import compiled

MEMORY = 4096
"""Samples a recurrent network hears before a window, in place of a receptive field."""


class Learner(nn.Module):
    """A network in training.

    Args:
        network: the start; its weights are not changed.
        device: of torch; on ``cpu`` plain WaveNets run through the compiled kernels.
        window: outputs per window.
        batch: windows per step.
        threads: cores for the compiled kernels.

    Attributes:
        context: samples of input before the first output of a window.
    """

    def __init__(self, network: Network, device: str, window: int, batch: int, threads: int) -> None:
        super().__init__()
        if isinstance(network, Slimmable):
            raise TrainingError("a slimmable network cannot be trained; train one of its sizes")
        self.context = MEMORY if is_recurrent(network) else network.receptive_field - 1
        self.model: Model = build(network).to(torch.device(device))
        plain = network.network if isinstance(network, Knobbed) else network
        self.plain = plain if isinstance(plain, WaveNet) and device == "cpu" and compiled.supports(plain) else None
        if self.plain is not None:
            self.windows = compiled.Windows(self.plain, window + self.context, batch, threads)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.model.parameters()).device

    def describe(self) -> Network:
        """The network with the weights of this moment."""
        return self.model.describe()

    def forward(self, x: Tensor, knobs: Tensor) -> Tensor:
        """(batch, context + window) audio and (batch, knobs) rotations -> (batch, window)."""
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
