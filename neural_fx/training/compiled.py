"""Train plain WaveNets on a CPU with the compiled kernels, which run windows forward and backward in parallel.

torch still computes the loss, the optimiser steps, and the weights of each window. For a network with knobs, these
weights depend on the knob positions. The gradients equal those of torch up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from neural_fx.engines import cpu
from neural_fx.networks import Layer, WaveNet
from neural_fx.networks.wavenet.binding import compile_wavenet


def supports(network: WaveNet) -> bool:
    """Return whether the kernels can train a network.

    They train stacks of tanh or leaky ReLU layers with residuals, plain or gated by a sigmoid. The layers must have the
    input as their condition. Every head except that of the last stack must have one tap.
    """
    if not cpu.available() or network.condition or network.post_head or network.out_channels != 1:
        return False
    if any(stack.head.history for stack in network.arrays[:-1]):
        return False
    return all(_supports_layer(layer) for stack in network.arrays for layer in stack.layers)


def _supports_layer(layer: Layer) -> bool:
    if layer.activation.name not in ("tanh", "leaky_relu") or layer.gating == "blended" or layer.films:
        return False
    if layer.gating == "gated" and layer.secondary.name != "sigmoid":
        return False
    if layer.residual is None or layer.mixin.bias is not None or (layer.head and layer.head.history):
        return False
    convs = (layer.conv, layer.mixin, layer.residual, *([layer.head] if layer.head else []))
    return all(conv.groups == 1 for conv in convs)


class Windows:
    """Run a batch of windows of one length forward and backward.

    Args:
        network: a network that `supports` accepts. Only its shapes are used, not its weights.
        length: input samples per window.
        batch: number of windows.
        threads: cores to use.
    """

    def __init__(self, network: WaveNet, length: int, batch: int, threads: int = 1) -> None:
        described = compile_wavenet(network)
        self.windows = [described.window(length) for _ in range(batch)]
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.parameters, self.outputs = int(self.windows[0].parameters), int(self.windows[0].outputs)

    def each(self, work: Callable[[int], None]) -> None:
        """Call a function with the index of every window, in parallel."""
        indices = range(len(self.windows))
        if self.pool:
            list(self.pool.map(work, indices))
        else:
            for i in indices:
                work(i)

    def run(self, weights: Tensor, x: Tensor) -> Tensor:
        """Run all windows, with gradients for the weights.

        Args:
            weights: (batch, parameters), in the order of `flatten`.
            x: audio, (batch, inputs, length).

        Returns:
            (batch, outputs).
        """
        y: Tensor = _Run.apply(weights, x, self)  # type: ignore[no-untyped-call]
        return y


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, weights: Tensor, x: Tensor, windows: Windows) -> Tensor:
        w, audio = np.ascontiguousarray(weights.detach().numpy()), np.ascontiguousarray(x.numpy())
        y = np.empty((len(w), windows.outputs), np.float32)
        windows.each(lambda i: windows.windows[i].forward(w[i], audio[i], y[i]))
        ctx.windows = windows  # type: ignore[attr-defined]
        return torch.from_numpy(y)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        windows: Windows = ctx.windows
        dy = np.ascontiguousarray(gradients[0].numpy())
        g = np.empty((len(dy), windows.parameters), np.float32)
        windows.each(lambda i: windows.windows[i].backward(dy[i], g[i]))
        return torch.from_numpy(g), None, None


def flatten(weights: dict[str, Tensor], network: WaveNet) -> Tensor:
    """Arrange a batch of a `WaveNetModel`'s parameters in the kernels' order.

    Args:
        weights: parameters by name, with the batch as their first dimension.
        network: description of the model.

    Returns:
        (batch, parameters).
    """
    return torch.cat([weights[name].flatten(1) for name in parameter_names(network)], 1)


def parameter_names(network: WaveNet) -> list[str]:
    """Return the names of a `WaveNetModel`'s parameters in the kernels' order."""
    names: list[str] = []

    def add(name: str, bias: bool) -> None:
        names.extend([f"{name}.weight", f"{name}.bias"] if bias else [f"{name}.weight"])

    for i, array in enumerate(network.arrays):
        add(f"arrays.{i}.rechannel", array.rechannel.bias is not None)
        for j, layer in enumerate(array.layers):
            add(f"arrays.{i}.layers.{j}.conv", layer.conv.bias is not None)
            add(f"arrays.{i}.layers.{j}.mixin", False)
            assert layer.residual is not None
            add(f"arrays.{i}.layers.{j}.residual", layer.residual.bias is not None)
            if layer.head:
                add(f"arrays.{i}.layers.{j}.head", layer.head.bias is not None)
        add(f"arrays.{i}.head", array.head.bias is not None)
    return names
