"""Play networks in the compiled kernels: the same samples as `generation.generate`, in real time.

All voices of a call go through the network's matrices together, so they share the time of reading them. Every layer's
past is kept. Products with the conditions of a frame are computed once per frame, and interpolated.

Float rounding differs from torch's. So a voice may turn to another class where a draw falls exactly between two, and
then goes its own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from neural_fx.arrays import Array, Doubles, Numbers
from neural_fx.native import core
from neural_fx.networks.autoregressive.description import Description, RecurrentSizes, WaveNetSizes, weight_shapes

if TYPE_CHECKING:
    from neural_fx.native import _core


class CompiledGenerator:
    """Voices of one network. Each has a slot, and is independent of the others.

    Blocks of any sizes, one after another, give the same samples as one long block, with any other voices beside.
    `generate` and `force` allocate only the arrays that they return, and release the interpreter's lock.

    Args:
        description: of the network.
        weights: by name, as in `files.AutoregressiveFile`.
        slots: most voices at a time.
        instruction_set: of the kernels; "" for the fastest one.
    """

    def __init__(
        self, description: Description, weights: Mapping[str, Array], slots: int = 1, instruction_set: str = ""
    ) -> None:
        self.description = description
        self._native = core.Generators(native_sizes(description), _flat(description, weights), slots, instruction_set)

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of weights that one sample of all voices reads."""
        return int(self._native.bytes_per_sample)

    @property
    def allocations(self) -> int | None:
        """C++ allocations of `generate` and `force` so far. None unless a test counts them."""
        count = self._native.allocations
        return None if count is None else int(count)

    def start(self, slot: int, seed: int) -> None:
        """Begin a new stream in a slot. Its past becomes silence.

        Args:
            slot: from 0.
            seed: of the draws, as of `sampling.Uniform`.
        """
        state = np.random.PCG64(seed).state["state"]
        self._native.start(slot, [*_halves(state["state"]), *_halves(state["inc"])])

    def set_temperature(self, slot: int, temperature: float) -> None:
        """Set the temperature of a slot's draws from the next block on. It is 1 at first, and `start` keeps it.

        Args:
            slot: from 0.
            temperature: as of `sampling.draw_classes`.
        """
        self._native.set_temperature(slot, temperature)

    def generate(
        self,
        slots: Sequence[int],
        frames: Numbers,
        cycles: Numbers,
        voices: Numbers,
        offsets: Sequence[int] | None = None,
    ) -> Array:
        """Continue some voices by a block.

        Args:
            slots: of the voices.
            frames: (voices, frames, frame) from the frame at or before the first sample. The last frame stays.
                If the network has a context stack: what `ContextStream` makes of them.
            cycles: phase of the pitch, (voices, samples).
            voices: conditions of the instruments, (voices, voice).
            offsets: samples from the first frame to the first sample. None for zeros.

        Returns:
            Samples at unit level for `Signal.unpack`, (voices, samples).
        """
        arrays = self._arrays(slots, frames, cycles, voices, offsets)
        out = np.zeros((len(slots), np.shape(cycles)[1]), np.float32)
        self._native.generate(*arrays, out)
        return out

    def force(
        self,
        slots: Sequence[int],
        previous: Numbers,
        frames: Numbers,
        cycles: Numbers,
        voices: Numbers,
        offsets: Sequence[int] | None = None,
    ) -> Array:
        """Return the distributions of given samples, (voices, samples, outputs). It draws nothing.

        Args:
            slots: of the voices.
            previous: the sample before each sample, (voices, samples): classes, or values from -1 to 1.
            frames: as of `generate`.
            cycles: as of `generate`.
            voices: as of `generate`.
            offsets: as of `generate`.
        """
        arrays = self._arrays(slots, frames, cycles, voices, offsets)
        out = np.zeros((*np.shape(cycles), self.description.outputs), np.float32)
        self._native.force(arrays[0], np.ascontiguousarray(previous, np.float32), *arrays[1:], out)
        return out

    def _arrays(
        self,
        slots: Sequence[int],
        frames: Numbers,
        cycles: Numbers,
        voices: Numbers,
        offsets: Sequence[int] | None,
    ) -> tuple[Numbers, Array, Numbers, Doubles, Array]:
        return (
            np.asarray(slots, np.int32),
            np.ascontiguousarray(frames, np.float32),
            np.zeros(len(slots), np.int64) if offsets is None else np.asarray(offsets, np.int64),
            np.ascontiguousarray(cycles, np.float64),
            np.ascontiguousarray(voices, np.float32),
        )


class ContextStream:
    """The context stack of one voice, frame by frame. Without a stack, frames pass unchanged.

    Args:
        description: of the network.
        weights: by name.
    """

    def __init__(self, description: Description, weights: Mapping[str, Array]) -> None:
        inputs = description.inputs
        self._layers = []
        for n in range(inputs.context_layers if inputs.context else 0):
            self._layers.append((weights[f"context.{n}.weight"], weights[f"context.{n}.bias"]))
        self._pasts = [np.zeros((2**n, weight.shape[1] // 2), np.float32) for n, (weight, _) in enumerate(self._layers)]

    def process(self, frames: Numbers) -> Array:
        """Return what the network reads of the next frames, (frames, context).

        Args:
            frames: (frames, frame).
        """
        x = np.asarray(frames, np.float32)
        for n, (weight, bias) in enumerate(self._layers):
            joined = np.concatenate((self._pasts[n], x))
            self._pasts[n] = joined[len(x) :]
            gate = np.concatenate((joined[: len(x)], x), axis=1) @ weight.T + bias
            top, bottom = np.split(gate, 2, axis=1)
            x = np.tanh(top) * (0.5 + 0.5 * np.tanh(0.5 * bottom))
        return np.asarray(x, np.float32)


def native_sizes(description: Description) -> _core.GeneratorSizes:
    """Return the sizes of a network as the kernels read them."""
    sizes = description.sizes
    inputs = description.inputs
    signal = description.signal
    native = core.GeneratorSizes()
    if isinstance(sizes, WaveNetSizes):
        native.dilations = list(sizes.dilations)
        native.residual = sizes.residual
        native.skip = native.hidden = sizes.skip
    elif isinstance(sizes, RecurrentSizes):
        native.units = sizes.units
        native.embedded = sizes.embedded
        native.hidden = sizes.hidden
    native.outputs = description.outputs
    native.frame = inputs.context or inputs.frame
    native.harmonics = list(inputs.harmonics)
    native.voice = inputs.voice
    native.hop = signal.hop
    native.peak = signal.peak
    if sizes.output == "classes":
        native.values = signal.decode(np.arange(signal.levels)).tolist()
        native.zero = signal.zero
    return native


def kernel_weight_names(description: Description) -> list[str]:
    """Return the names of the weights that the kernels read, in their order."""
    return [name for name in weight_shapes(description) if name != "voices" and not name.startswith("context.")]


def _flat(description: Description, weights: Mapping[str, Array]) -> Array:
    """Return the weights that the kernels read, one after another."""
    arrays = [np.asarray(weights[name], np.float32) for name in kernel_weight_names(description)]
    return np.concatenate([array.ravel() for array in arrays])


def _halves(number: int) -> tuple[int, int]:
    """Return the upper and lower 64 bits of a number."""
    return number >> 64, number & (2**64 - 1)
