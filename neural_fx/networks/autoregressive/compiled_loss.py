"""Compute the loss of networks of classes and its gradients in the compiled kernels, several times as fast as torch.

The gradients reach torch's optimisers as usual: `CompiledLoss` returns a tensor with ``backward``. What makes the
conditions, the context stack and the voices, stays in torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from neural_fx.native import core
from neural_fx.networks.autoregressive.compiled import kernel_weight_names, native_sizes
from neural_fx.networks.autoregressive.files import torch_name
from neural_fx.networks.autoregressive.model import Autoregressive

if TYPE_CHECKING:
    from neural_fx.native import _core


class CompiledLoss:
    """The loss of a network of classes, in bits per sample. It runs on one core, in float32.

    Args:
        model: the network. Its weights may change between calls.
        batch: items of a call.
        samples: of each item. Streams begin with the window.
        instruction_set: of the kernels; "" for the fastest one.

    Raises:
        ValueError: the outputs of the network are logistics.
    """

    def __init__(self, model: Autoregressive, batch: int, samples: int, instruction_set: str = "") -> None:
        if model.description.sizes.output != "classes":
            raise ValueError("CompiledLoss: expected a network of classes")
        self._model = model
        self._window = core.GeneratorWindow(native_sizes(model.description), batch, samples, instruction_set)
        found = dict(model.named_parameters())
        self._parameters = [found[torch_name(name)] for name in kernel_weight_names(model.description)]

    def __call__(self, previous: Tensor, classes: Tensor, conditions: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the mean of the bits per sample, a number with gradients.

        Args:
            previous: the class before each sample, (batch, samples).
            classes: of the samples, (batch, samples).
            conditions: of each sample, (batch, samples, conditions), from `Autoregressive.conditions`.
            weights: of each sample, (batch, samples). The mean is divided by their sum. None for ones.
        """
        return self.bits(previous, classes, conditions, weights)[0]

    def bits(
        self, previous: Tensor, classes: Tensor, conditions: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the mean as `__call__` does, and the bits of every sample, (batch, samples), without gradients."""
        shares = torch.ones(classes.shape) if weights is None else weights.float()
        shares = shares / (shares.sum() * math.log(2))
        arguments = (self._window, previous, classes, shares, conditions, *self._parameters)
        loss, nats = _Loss.apply(*arguments)  # type: ignore[no-untyped-call]
        return loss, nats / math.log(2)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        window: _core.GeneratorWindow,
        previous: Tensor,
        targets: Tensor,
        weights: Tensor,
        conditions: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        flat = torch.cat([parameter.detach().reshape(-1) for parameter in parameters]).float().numpy()
        nats = np.empty(targets.shape, np.float32)
        gradients = np.empty_like(flat)
        condition_gradients = np.empty(conditions.shape, np.float32)
        window.run(
            flat,
            previous.int().contiguous().numpy(),
            conditions.detach().float().contiguous().numpy(),
            targets.int().contiguous().numpy(),
            weights.contiguous().numpy(),
            nats,
            gradients,
            condition_gradients,
        )
        ctx.sizes = [parameter.shape for parameter in parameters]
        ctx.save_for_backward(torch.from_numpy(gradients), torch.from_numpy(condition_gradients))
        losses = torch.from_numpy(nats)
        ctx.mark_non_differentiable(losses)
        return (losses.double() * weights).sum().float(), losses

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        flat, conditions = ctx.saved_tensors
        parts = torch.split(flat * outputs[0], [shape.numel() for shape in ctx.sizes])
        gradients = [part.view(shape) for part, shape in zip(parts, ctx.sizes, strict=True)]
        return (None, None, None, None, conditions * outputs[0], *gradients)
