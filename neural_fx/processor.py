"""The `Processor` contract: what `pedalboard.Plugin` promises, in Python, for anything that turns audio into audio.

A processor is called with arrays, keeps its state between calls when told to (`reset=False`), and gives the same
samples whatever the block sizes. To write one, subclass `Processor`, give it `PARAMETERS`, and implement
`process_block`:

    >>> import numpy as np
    >>> class Invert(Processor):
    ...     def process_block(self, block):
    ...         return -block
    >>> Invert()(np.ones(3, np.float32), 48000)
    array([-1., -1., -1.], dtype=float32)

A processor may be shared by threads: one call at a time uses it, the others wait. It can be copied and pickled, also
in the middle of a stream; the copy has the same settings and no stream.

Time is kept by counting: a processor that must look ahead returns fewer samples than it was given, and the missing
ones later. Nothing is ever shifted, so processors of any latency line up by themselves. A call with `reset=True`
ends with silence pushed through until every sample is back; while streaming, `latency_samples` says how many are
still inside, and `flush()` brings them out.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.errors import ParameterError
from neural_fx.layout import Layout
from neural_fx.parameters import Parametric
from neural_fx.values import finite_number, shown

Audio = NDArray[np.float32]

FLUSH_SECONDS = 30.0
"""How much silence `flush` pushes at most before it gives up on a processor and pads."""


class Passed:
    """Count the samples of one stream that went in and came out; also tells one stream from another."""

    def __init__(self) -> None:
        self.taken = 0
        self.given = 0


class _Missing:
    """Mark an attribute that did not exist before the first stream."""


@dataclass(frozen=True)
class Spec:
    """What a stream looks like, fixed from its first block to its end.

    Attributes:
        sample_rate: Hz.
        channels: of the audio, in and out.
        buffer_size: samples of the largest block that `process_block` will be given.
    """

    sample_rate: float
    channels: int
    buffer_size: int = 8192


class Processor(Parametric):
    """Audio in, audio out, with pedalboard's call, parameters as attributes, and streaming that equals one call."""

    is_effect = True
    is_instrument = False

    def __init__(self, **values: float) -> None:
        """Set parameters by name; the others start at their defaults.

        Raises:
            ParameterError: an unknown name (lists the valid ones) or a value out of range.
        """
        self._layout = Layout()
        self._spec: Spec | None = None
        self._passed = Passed()
        self._before_stream: dict[str, Any] = {}
        super().__init__(**values)

    # -- the contract --------------------------------------------------------------------------------------------

    def process(
        self, input_array: NDArray[Any], sample_rate: float, buffer_size: int = 8192, reset: bool = True
    ) -> Audio:
        """Process audio.

        Args:
            input_array: float32 or float64, (samples,), (channels, samples) or (samples, channels).
            sample_rate: Hz.
            buffer_size: samples of the blocks it is worked on in.
            reset: True: the input is a whole signal; the output is as long and aligned with it. False: the input
                continues the stream; the output may be shorter, the rest comes with later calls or `flush`.

        Returns:
            float32 in the layout of the input.

        Raises:
            TypeError: not an array of floats.
            RuntimeError: not one- or two-dimensional, or square when the layout is not known yet.
            ValueError: a sample rate or buffer size that is not positive.
        """
        rate = _positive(sample_rate, "sample_rate")
        size = int(_positive(buffer_size, "buffer_size"))
        with self.exclusive():
            audio = self._layout.enter(input_array)
            if reset:
                self._end()
            if audio.size == 0:
                return self._layout.leave(audio, input_array)
            self._begin(rate, audio.shape[0], size)
            parts = list(self.push(audio))
            if reset:
                parts += self.rest()
                self._end()
            return self._layout.leave(_join(parts, audio.shape[0]))

    def __call__(
        self, input_array: NDArray[Any], sample_rate: float, buffer_size: int = 8192, reset: bool = True
    ) -> Audio:
        """The same as `process`."""
        return self.process(input_array, sample_rate, buffer_size, reset)

    def reset(self) -> None:
        """Forget the stream: tails, held samples, and the layout of square arrays. Parameters stay."""
        with self.exclusive():
            self._layout = Layout()
            self._end()
            self._passed = Passed()

    def flush(self) -> Audio:
        """Return the samples of the stream that are still held back, in its layout, and end the stream."""
        with self.exclusive():
            if self._spec is None:
                return self._layout.leave(np.zeros((1, 0), np.float32))
            rest = _join(list(self.rest()), self._spec.channels)
            self._end()
            return self._layout.leave(rest)

    def exclusive(self) -> AbstractContextManager[object]:
        """Return a context in which only the current thread can use this processor; other threads wait."""
        return self._lock

    @property
    def latency_samples(self) -> int:
        """Samples that the output of a stream is behind its input, at most, at the rate last processed.

        A call with `reset=True` compensates it. 0 before the first call.
        """
        return 0

    # -- what a subclass implements --------------------------------------------------------------------------------

    def prepare(self, spec: Spec) -> None:
        """A new stream begins: take memory, clear state. Called before the first block, and after every reset."""

    @abstractmethod
    def process_block(self, block: Audio) -> Audio:
        """The next block of the stream.

        Args:
            block: (channels, samples), 1 to `buffer_size` samples; must not be changed.

        Returns:
            (channels, samples): as many samples as came in, or fewer now and the missing ones later.
        """

    # -- the stream ------------------------------------------------------------------------------------------------

    def open_stream(self, spec: Spec) -> None:
        """Begin a stream for a caller that uses `push` or `feed`, and `rest`, itself, as a chain does."""
        self._end()
        self._begin(spec.sample_rate, spec.channels, spec.buffer_size)

    def feed(self, block: Audio) -> Audio:
        """`process_block`, counting what went in and came out."""
        out = self.process_block(block)
        passed = self._passed
        passed.taken += block.shape[1]
        passed.given += out.shape[1]
        return out

    def push(self, audio: Audio) -> Iterator[Audio]:
        """Any length of (channels, samples) in blocks of at most the buffer size."""
        assert self._spec is not None
        for start in range(0, audio.shape[1], self._spec.buffer_size):
            yield self.feed(audio[:, start : start + self._spec.buffer_size])

    def rest(self) -> Iterator[Audio]:
        """At the end of a stream, the blocks still inside: what silence pushes out, until all samples are back."""
        assert self._spec is not None
        silence = np.zeros((self._spec.channels, min(self._spec.buffer_size, 4096)), np.float32)
        patience = math.ceil(FLUSH_SECONDS * self._spec.sample_rate / silence.shape[1])
        while (owed := self._passed.taken - self._passed.given) > 0:
            patience -= 1
            out = self.process_block(silence) if patience >= 0 else np.zeros((self._spec.channels, owed), np.float32)
            self._passed.given += min(owed, out.shape[1])
            yield out[:, :owed]

    def _begin(self, rate: float, channels: int, size: int) -> None:
        """Start a stream, unless one of this rate and number of channels is running.

        Another buffer size does not end a stream; blocks stay at most as large as prepared for.
        """
        if self._continues(rate, channels):
            return
        self._passed = Passed()
        spec = Spec(rate, channels, size)
        before = dict(self.__dict__)
        self._sealed = False  # `prepare` may make attributes, as `__init__` may
        try:
            self.prepare(spec)
        finally:
            self._sealed = True
        for name, value in self.__dict__.items():  # whatever `prepare` assigns belongs to the stream
            if before.get(name, _Missing) is not value:
                self._before_stream.setdefault(name, before.get(name, _Missing))
        self._spec = spec

    def _continues(self, rate: float, channels: int) -> bool:
        """Return whether the running stream can take audio of this rate and number of channels."""
        return self._spec is not None and self._spec.sample_rate == rate and self._spec.channels == channels

    def _end(self) -> None:
        self._spec = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without the stream: `prepare` makes that anew."""
        state = super().__getstate__()
        for name, value in self._before_stream.items():
            if value is _Missing:
                state.pop(name, None)
            else:
                state[name] = value
        return {**state, "_layout": Layout(), "_spec": None, "_passed": Passed(), "_before_stream": {}}


def _join(parts: list[Audio], channels: int) -> Audio:
    if not parts:
        return np.zeros((channels, 0), np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _positive(value: object, name: str) -> float:
    """Return a sample rate or buffer size as a float.

    Raises:
        ParameterTypeError: not a number. It is a TypeError, too.
        ParameterError: not finite, or below 1. It is a ValueError, too.
    """
    number = finite_number(value, name, text=False)
    if number < 1:
        raise ParameterError(f"{name}: expected a positive number of at least 1, found {shown(value)}")
    return number
