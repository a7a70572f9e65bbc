"""Describe what all networks share: the parts of a description, and what every description has.

Descriptions are plain data in torch's shapes, the same for every file format. Nothing here knows a file format, runs a
model, or needs torch. Arrays are float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Protocol

from neural_fx.arrays import Array


class Network(Protocol):
    """What the description of every network has. It is a frozen dataclass of one of the registered kinds."""

    @property
    def in_channels(self) -> int:
        """Number of inputs: the audio, then the knobs."""

    @property
    def out_channels(self) -> int:
        """Number of outputs. 1 for a capture."""

    @property
    def receptive_field(self) -> int:
        """Number of input samples, with the current one, that an output sample depends on."""


@dataclass(frozen=True)
class Activation:
    """A pointwise nonlinearity.

    Attributes:
        name: one of `tanh, hardtanh, fasttanh, relu, leaky_relu, prelu, sigmoid, silu, hardswish, leaky_hardtanh,
            softsign, elu, softmax, linear`.
        params: keyword arguments of torch's function of the same name.
        slopes: (channels,), for `prelu` only.
    """

    name: str
    params: dict[str, float] = field(default_factory=dict)
    slopes: Array | None = None


@dataclass(frozen=True)
class Conv:
    """A causal convolution.

    Attributes:
        weight: (out, in / groups, taps). The last tap belongs to the current sample.
        bias: (out,), or None.
        dilation: samples between taps.
        groups: number of groups that input and output channels are split into.
    """

    weight: Array
    bias: Array | None = None
    dilation: int = 1
    groups: int = 1

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return int(self.weight.shape[0])

    @property
    def in_channels(self) -> int:
        """Number of input channels, of all groups together."""
        return int(self.weight.shape[1]) * self.groups

    @property
    def history(self) -> int:
        """Number of past samples that the convolution needs."""
        return (int(self.weight.shape[2]) - 1) * self.dilation


def walk(part: object) -> Iterator[object]:
    """Yield every dataclass of a description, the outermost first."""
    if is_dataclass(part) and not isinstance(part, type):
        yield part
        for item in fields(part):
            yield from walk(getattr(part, item.name))
    elif isinstance(part, (tuple, list)):
        for item in part:
            yield from walk(item)
    elif isinstance(part, dict):
        for item in part.values():
            yield from walk(item)
