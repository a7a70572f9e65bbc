"""Describe autoregressive networks: their sizes, their signal, and the names and shapes of their weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from neural_fx.networks.autoregressive.signal import Signal

Output = Literal["classes", "logistics"]


@dataclass(frozen=True)
class Inputs:
    """What a network is told about every sample.

    Attributes:
        frame: numbers of a frame of conditions.
        harmonics: multiples of the pitch. Each gives a sine and a cosine of the running phase.
        voice: numbers that say which instrument plays.
        context: outputs of the context stack, a small WaveNet at the frame rate (section 2.6 of the paper). The frame
            conditions then go through it. 0 for none.
        context_layers: its layers, with dilations 1, 2, 4 and so on.
    """

    frame: int = 4
    harmonics: tuple[int, ...] = (1, 2, 4, 8)
    voice: int = 8
    context: int = 0
    context_layers: int = 0

    @property
    def count(self) -> int:
        """Number of conditions of one sample."""
        return (self.context or self.frame) + 2 * len(self.harmonics) + self.voice


@dataclass(frozen=True)
class WaveNetSizes:
    """Sizes of a WaveNet.

    Attributes:
        residual: channels between the layers.
        skip: channels of the skip connections and of the output layers.
        dilations: of the layers, in samples.
        output: ``classes`` for a softmax over the levels of the signal, ``logistics`` for a mixture of logistics.
        mixtures: number of logistics.
    """

    residual: int = 32
    skip: int = 64
    dilations: tuple[int, ...] = tuple(2**k for k in range(10)) * 2
    output: Output = "classes"
    mixtures: int = 8

    @property
    def receptive_field(self) -> int:
        """Number of previous samples that a sample depends on."""
        return sum(self.dilations) + 1


PAPER = WaveNetSizes(residual=512, skip=256, dilations=tuple(2**k for k in range(10)) * 3)
"""A WaveNet as large as those of the paper's authors: 30 layers. The paper itself does not print its channels."""


@dataclass(frozen=True)
class RecurrentSizes:
    """Sizes of a recurrent network.

    Attributes:
        units: of the GRU.
        embedded: numbers that stand for the previous sample. Compiled kernels fold them into a table, so they cost
            nothing there.
        hidden: units of the first output layer.
        output: as of `WaveNetSizes`.
        mixtures: number of logistics.
    """

    units: int = 192
    embedded: int = 160
    hidden: int = 64
    output: Output = "classes"
    mixtures: int = 8


@dataclass(frozen=True)
class Description:
    """A network without its weights.

    Attributes:
        sizes: of a WaveNet or of a recurrent network.
        inputs: conditions.
        signal: what its samples are.
        voices: names of the trained instruments.
    """

    sizes: WaveNetSizes | RecurrentSizes
    inputs: Inputs = field(default_factory=Inputs)
    signal: Signal = field(default_factory=Signal)
    voices: tuple[str, ...] = ("voice",)

    @property
    def kind(self) -> str:
        """``wavenet`` or ``recurrent``."""
        return "wavenet" if isinstance(self.sizes, WaveNetSizes) else "recurrent"

    @property
    def outputs(self) -> int:
        """Numbers that describe the distribution of one sample."""
        return self.signal.levels if self.sizes.output == "classes" else 3 * self.sizes.mixtures


Shapes = dict[str, tuple[int, ...]]


def weight_shapes(description: Description) -> Shapes:
    """Return the names and shapes of all weights. The package's page describes them."""
    sizes = description.sizes
    shapes = _context(description.inputs)
    if isinstance(sizes, WaveNetSizes):
        shapes |= _front(description, sizes.residual) | _layers(description, sizes)
        hidden, last = (sizes.skip, sizes.skip), sizes.skip
    else:
        shapes |= _front(description, sizes.embedded)
        shapes |= _linear("recurrent.input", 3 * sizes.units, sizes.embedded + description.inputs.count)
        shapes |= _linear("recurrent.state", 3 * sizes.units, sizes.units)
        hidden, last = (sizes.hidden, sizes.units), sizes.hidden
    shapes |= _linear("hidden", *hidden) | _linear("last", description.outputs, last)
    shapes["voices"] = (len(description.voices), description.inputs.voice)
    return shapes


def count_weights(description: Description) -> int:
    """Return the number of weights, without the voices."""
    total = 0
    for name, shape in weight_shapes(description).items():
        size = 1
        for length in shape:
            size *= length
        total += size if name != "voices" else 0
    return total


def _linear(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _front(description: Description, width: int) -> Shapes:
    if description.sizes.output == "classes":
        return {"front.table": (description.signal.levels, width)}
    return _linear("front", width, 1)


def _layers(description: Description, sizes: WaveNetSizes) -> Shapes:
    shapes: Shapes = {}
    width = sizes.residual
    for n in range(len(sizes.dilations)):
        shapes |= _linear(f"layers.{n}.gate", 2 * width, 2 * width + description.inputs.count)
        if n + 1 < len(sizes.dilations):
            shapes |= _linear(f"layers.{n}.residual", width, width)
        shapes[f"layers.{n}.skip.weight"] = (sizes.skip, width)
    shapes["skip.bias"] = (sizes.skip,)
    return shapes


def _context(inputs: Inputs) -> Shapes:
    shapes: Shapes = {}
    width = inputs.frame
    for n in range(inputs.context_layers if inputs.context else 0):
        shapes |= _linear(f"context.{n}", 2 * inputs.context, 2 * width)
        width = inputs.context
    return shapes
