"""Build the parts that the autoregressive networks share. Tensors are (batch, time, channels)."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neural_fx.networks.autoregressive.description import Description, Inputs


def delayed(x: Tensor, past: Tensor | None, delay: int) -> tuple[Tensor, Tensor]:
    """Return a signal as it was some samples ago.

    Args:
        x: (batch, samples, channels).
        past: (batch, delay, channels), the samples before; None for zeros.
        delay: samples.

    Returns:
        The delayed signal, (batch, samples, channels), and the past of the next block.
    """
    joined = F.pad(x, (0, 0, delay, 0)) if past is None else torch.cat((past, x), dim=1)
    return joined[:, : x.shape[1]], joined[:, x.shape[1] :]


class Front(nn.Module):
    """Turn the previous sample into channels: a table of its class, or a linear function of its value.

    Args:
        description: of the network.
        width: channels.
    """

    def __init__(self, description: Description, width: int) -> None:
        super().__init__()
        self.classes = description.sizes.output == "classes"
        if self.classes:
            # Neighbours in the table begin alike, as a linear function of the value, and learn the rest.
            ramp = torch.linspace(-1, 1, description.signal.levels)[:, None]
            table = ramp * torch.randn(width) + 0.1 * torch.randn(description.signal.levels, width)
            self.table = nn.Parameter(table)
        else:
            self.weight = nn.Parameter(torch.randn(width, 1))
            self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, previous: Tensor) -> Tensor:
        """Return (batch, samples, width) of classes or values, (batch, samples)."""
        if self.classes:
            return F.embedding(previous, self.table)
        return F.linear(previous[..., None], self.weight, self.bias)


class GatedLayer(nn.Module):
    """One layer of a WaveNet: a causal dilated convolution of two taps, ``tanh(f) * sigmoid(g)``, residual and skip.

    The convolution and the conditions (equation 3 of the paper) are one matrix, ``gate``.

    Args:
        residual: channels of input and output.
        skip: channels of the skip connection.
        conditions: numbers per sample.
        dilation: samples between the taps.
        last: whether no layer follows, so that there is no residual connection.
    """

    def __init__(self, residual: int, skip: int, conditions: int, dilation: int, last: bool) -> None:
        super().__init__()
        self.dilation = dilation
        self.gate = nn.Linear(2 * residual + conditions, 2 * residual)
        self.residual = None if last else nn.Linear(residual, residual)
        self.skip = nn.Linear(residual, skip, bias=False)

    def forward(self, x: Tensor, conditions: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Run a block.

        Args:
            x: (batch, samples, residual).
            conditions: (batch, samples, conditions).
            past: (batch, dilation, residual) or None, the input before the block.

        Returns:
            The input of the next layer; the activated signal, which the skip connection reads; the next past.
        """
        before, past = delayed(x, past, self.dilation)
        top, bottom = self.gate(torch.cat((before, x, conditions), dim=2)).chunk(2, dim=2)
        z = torch.tanh(top) * torch.sigmoid(bottom)
        return (x if self.residual is None else x + self.residual(z)), z, past


class ContextStack(nn.ModuleList):
    """A small WaveNet at the frame rate, through which the frame conditions go (section 2.6 of the paper).

    Its layers have no residual: ``tanh(f) * sigmoid(g)`` of the frame ``dilation`` frames ago and of this frame.

    Args:
        inputs: conditions of the network.
    """

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        width = inputs.frame
        for _ in range(inputs.context_layers if inputs.context else 0):
            self.append(nn.Linear(2 * width, 2 * inputs.context))
            width = inputs.context

    def forward(self, frames: Tensor) -> Tensor:
        """Return (batch, frames, context) from (batch, frames, frame). The frames before the first are zeros."""
        x = frames
        for n, layer in enumerate(self):
            before, _ = delayed(x, None, 2**n)
            top, bottom = cast(nn.Linear, layer)(torch.cat((before, x), dim=2)).chunk(2, dim=2)
            x = torch.tanh(top) * torch.sigmoid(bottom)
        return x


def interpolated(frames: Tensor, hop: int, samples: int, offset: Tensor | int = 0) -> Tensor:
    """Return frame conditions at every sample, interpolated linearly.

    Args:
        frames: (batch, frames, numbers).
        hop: samples between frames.
        samples: how many. After the last frame, it stays.
        offset: sample of the first frame's interval at which to begin, (batch,) or one for all.

    Returns:
        (batch, samples, numbers).
    """
    at = torch.arange(samples, device=frames.device) + torch.as_tensor(offset, device=frames.device).reshape(-1, 1)
    at = at.expand(frames.shape[0], -1)
    first = (at // hop).clamp(max=frames.shape[1] - 1)
    second = (first + 1).clamp(max=frames.shape[1] - 1)
    share = ((at % hop) / hop).to(frames.dtype)[..., None]
    rows = torch.arange(frames.shape[0], device=frames.device)[:, None]
    return torch.lerp(frames[rows, first], frames[rows, second], share)


def phase_channels(cycles: Tensor, harmonics: tuple[int, ...]) -> Tensor:
    """Return sines and cosines of a phase, as `conditions.phase_conditions` does.

    Args:
        cycles: (batch, samples).
        harmonics: multiples of the phase.

    Returns:
        (batch, samples, 2 * harmonics), float32.
    """
    turns = cycles[..., None] * torch.tensor(harmonics, device=cycles.device)
    angles = (2 * math.pi * (turns - turns.floor())).float()
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
