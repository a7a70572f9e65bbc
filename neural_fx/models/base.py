"""What all architectures share: the streaming contract and the causal convolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neural_fx.formats.network import Conv, Network

State = list[Tensor]
"""What a model remembers between blocks: tensors with the batch dimension first."""

FFT_TAPS = 256
"""From this many taps on, a convolution runs through the FFT."""


class Model(nn.Module):
    """A network over a stream."""

    in_channels: int
    out_channels: int

    def describe(self) -> Network:
        """The description with the weights of this moment."""
        raise NotImplementedError

    def initial_state(self, batch: int) -> State:
        """The memory of `batch` streams that have not begun: silence, or the start state that the file gives."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run a block.

        Args:
            x: (batch, in_channels, samples), the audio first, then knobs if the model has any.
            state: from `initial_state` or from the previous call.

        Returns:
            output (batch, out_channels, samples) and the next state.
        """
        raise NotImplementedError

    def run(self, x: Tensor) -> Tensor:
        """A whole signal from a silent start, without keeping the state."""
        y, _ = self.forward(x, self.initial_state(x.shape[0]))
        return y


def tensor(array: np.ndarray) -> Tensor:
    """A float32 tensor that owns its memory."""
    return torch.from_numpy(np.array(array, np.float32, order="C"))


def array(value: Tensor) -> np.ndarray:
    """A copy of a tensor as a float32 array on the CPU."""
    return value.detach().cpu().float().numpy().copy()


def add(total: Tensor | None, term: Tensor) -> Tensor:
    """`total + term`, reusing the memory of `total` where no gradient needs it: fresh pages cost more than sums."""
    if total is None:
        return term
    return total + term if torch.is_grad_enabled() else total.add_(term)


Kind = TypeVar("Kind", bound=nn.Module)


class Modules(nn.ModuleList, Generic[Kind]):
    """A list of modules of one kind, for the type checker's sake."""

    def __iter__(self) -> Iterator[Kind]:
        return cast("Iterator[Kind]", super().__iter__())


class CausalConv(nn.Module):
    """A dilated convolution that only looks back, carrying its past from block to block.

    Args:
        spec: weight (out, in / groups, taps), bias, dilation, groups.
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
        """The description with the weights of this moment."""
        bias = None if self.bias is None else array(self.bias)
        return replace(self.spec, weight=array(self.weight), bias=bias)

    def initial_state(self, batch: int) -> Tensor:
        return self.weight.new_zeros(batch, self.in_channels, self.history)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, in, n) and the last `history` samples before it -> (batch, out, n) and the new past."""
        if self.history:
            x = torch.cat((past, x), 2)
            past = x[:, :, x.shape[2] - self.history :]
        return self.convolve(x), past

    def convolve(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """The valid part: (batch, in, history + n) -> (batch, out, n), added to `onto` (which may be reused)."""
        if self.weight.shape[2] >= FFT_TAPS and self.groups == 1 and self.dilation == 1:
            return add(onto, self._by_fft(x))
        if torch.is_grad_enabled() or self.groups > 1 or not x.is_cpu:
            return add(onto, F.conv1d(x, self.weight, self.bias, dilation=self.dilation, groups=self.groups))
        return self._by_taps(x, onto)

    def _by_taps(self, x: Tensor, onto: Tensor | None) -> Tensor:
        """One matrix product per tap: two to three times as fast as conv1d on a CPU for a dozen channels."""
        n = x.shape[2] - self.history
        z = x.new_zeros(x.shape[0], self.out_channels, n) if onto is None else onto
        for tap in range(self.weight.shape[2]):
            past = x[:, :, tap * self.dilation : tap * self.dilation + n]
            for row, signal in zip(z, past, strict=True):
                row.addmm_(self.weight[:, :, tap], signal)
        return z if self.bias is None else z.add_(self.bias[:, None])

    def _by_fft(self, x: Tensor) -> Tensor:
        size = 1 << (x.shape[2] - 1).bit_length()
        spectrum = torch.fft.rfft(x.double(), size)
        response = torch.fft.rfft(self.weight.flip(2).double(), size)
        full = torch.fft.irfft(torch.einsum("bif,oif->bof", spectrum, response), size)
        y: Tensor = full[:, :, self.history : x.shape[2]].to(x.dtype)
        return y if self.bias is None else y + self.bias[:, None]
