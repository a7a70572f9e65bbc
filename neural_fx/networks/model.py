"""Define what the torch modules of all networks share: the streaming contract and the causal convolution.

The modules are the reference, and what training and the GPU run. Every module maps `(batch, channels, samples)` and a
state to an output of that shape and the next state. So blocks of any sizes, one after another, equal one long call.
State tensors have the batch dimension first, so that streams of one model run as one batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neural_fx.networks.parts import Conv, Network

State = list[Tensor]
"""What a model keeps between blocks: tensors with the batch dimension first."""

FFT_TAPS = 256
"""Number of taps from which a convolution is computed by FFT."""


class Model(nn.Module):
    """A network that processes streams.

    Attributes:
        in_channels: the audio, then the knobs.
        out_channels: of the audio.
    """

    in_channels: int
    out_channels: int

    def describe(self) -> Network:
        """Return the description with the current weights."""
        raise NotImplementedError

    def initial_state(self, batch: int) -> State:
        """Return the state of `batch` streams before their first block: silence, or the start state in the file."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run a block.

        Args:
            x: (batch, in_channels, samples), the audio first, then knobs if the model has any.
            state: from `initial_state` or from the previous call.

        Returns:
            The output, (batch, out_channels, samples), and the next state.
        """
        raise NotImplementedError

    def run(self, x: Tensor) -> Tensor:
        """Process a whole signal from the initial state: (batch, in_channels, samples) to out_channels."""
        y, _ = self.forward(x, self.initial_state(x.shape[0]))
        return y


def tensor(array: np.ndarray) -> Tensor:
    """Return a copy of an array as a float32 tensor."""
    return torch.from_numpy(np.array(array, np.float32, order="C"))


def array(value: Tensor) -> np.ndarray:
    """Return a copy of a tensor as a float32 array on the CPU."""
    return value.detach().cpu().float().numpy().copy()


def add(total: Tensor | None, term: Tensor) -> Tensor:
    """Return `total + term`.

    Args:
        total: sum so far, or None. Without gradients its memory is reused, because fresh pages cost more than the sum.
        term: of the same shape.
    """
    if total is None:
        return term
    return total + term if torch.is_grad_enabled() else total.add_(term)


Kind = TypeVar("Kind", bound=nn.Module)


class Modules(nn.ModuleList, Generic[Kind]):
    """A list of modules of one kind, typed for type checkers."""

    def __iter__(self) -> Iterator[Kind]:
        return cast("Iterator[Kind]", super().__iter__())


class CausalConv(nn.Module):
    """A dilated convolution that only looks back. It keeps its past from block to block.

    Args:
        spec: weight (out, in / groups, taps), bias, dilation and groups.
    """

    def __init__(self, spec: Conv) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(tensor(spec.weight))
        self.bias = nn.Parameter(tensor(spec.bias)) if spec.bias is not None else None
        self.dilation, self.groups = spec.dilation, spec.groups
        self.in_channels, self.out_channels = spec.in_channels, spec.out_channels
        self.history = spec.history

    def describe(self) -> Conv:
        """Return the description with the current weights."""
        bias = None if self.bias is None else array(self.bias)
        return replace(self.spec, weight=array(self.weight), bias=bias)

    def initial_state(self, batch: int) -> Tensor:
        """Return silence, (batch, in_channels, history)."""
        return self.weight.new_zeros(batch, self.in_channels, self.history)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Process a block.

        Args:
            x: (batch, in_channels, samples).
            past: (batch, in_channels, history), the samples before the block.

        Returns:
            (batch, out_channels, samples), and the past of the next block.
        """
        if self.history:
            x = torch.cat((past, x), 2)
            past = x[:, :, x.shape[2] - self.history :]
        return self.convolve(x), past

    def convolve(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Compute the part of the convolution that needs no padding.

        Args:
            x: (batch, in_channels, history + samples).
            onto: (batch, out_channels, samples), added to the result. Its memory may be reused.

        Returns:
            (batch, out_channels, samples).
        """
        if self.weight.shape[2] >= FFT_TAPS and self.groups == 1 and self.dilation == 1:
            return add(onto, self._by_fft(x))
        if torch.is_grad_enabled() or self.groups > 1 or not x.is_cpu:
            return add(onto, F.conv1d(x, self.weight, self.bias, dilation=self.dilation, groups=self.groups))
        return self._by_taps(x, onto)

    def _by_taps(self, x: Tensor, onto: Tensor | None) -> Tensor:
        """Compute one matrix product per tap. For a dozen channels on a CPU, conv1d is two to three times slower."""
        n = x.shape[2] - self.history
        z = x.new_zeros(x.shape[0], self.out_channels, n) if onto is None else onto
        for tap in range(self.weight.shape[2]):
            past = x[:, :, tap * self.dilation : tap * self.dilation + n]
            for row, signal in zip(z, past, strict=True):
                row.addmm_(self.weight[:, :, tap], signal)
        return z if self.bias is None else z.add_(self.bias[:, None])

    def _by_fft(self, x: Tensor) -> Tensor:
        # A circular convolution of this size is only wrong in the first `history` samples, which are left out.
        size = 1 << (x.shape[2] - 1).bit_length()
        spectrum = torch.fft.rfft(x.double(), size)
        response = torch.fft.rfft(self.weight.flip(2).double(), size)
        full = torch.fft.irfft(torch.einsum("bif,oif->bof", spectrum, response), size)
        y: Tensor = full[:, :, self.history : x.shape[2]].to(x.dtype)
        return y if self.bias is None else y + self.bias[:, None]
