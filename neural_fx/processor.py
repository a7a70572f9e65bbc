"""Define `Processor`: the contract of `pedalboard.Plugin`, in Python, for anything that turns audio into audio.

A processor is called with arrays. With `reset=False` it keeps its state between calls. Its output does not depend on
the block sizes. To write one, subclass `Processor`, list its `PARAMETERS`, and implement `process_block`:

    >>> import numpy as np
    >>> class Invert(Processor):
    ...     def process_block(self, block):
    ...         return -block
    >>> Invert()(np.ones(3, np.float32), 48000)
    array([-1., -1., -1.], dtype=float32)

Threads may share a processor: one call runs at a time, and the others wait. It can be copied and pickled, even in the
middle of a stream. The copy has the same settings and no stream.

Latency is handled by counting samples. A processor that looks ahead returns fewer samples than it gets, and the missing
ones later. The output is never shifted, so processors of any latency are aligned. A call with `reset=True` pushes
silence through until all samples are back. In a stream, `latency_samples` is the number of samples that are still
inside, and `flush` returns them.
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

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.errors import ParameterError
from neural_fx.layout import Layout
from neural_fx.parameters import Parametric
from neural_fx.values import finite_number, shown


class Passed:
    """Counts the samples of one stream. The object also identifies the stream.

    Attributes:
        taken: samples that went in.
        given: samples that came out.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.given = 0


class _Missing:
    """Marks an attribute that did not exist before the first stream."""


@dataclass(frozen=True)
class Spec:
    """Properties of a stream, which stay fixed from its first block to its end.

    Attributes:
        sample_rate: Hz.
        channels: of the audio, in and out.
        buffer_size: samples of the largest block that `process_block` will get.
    """

    sample_rate: float
    channels: int
    buffer_size: int = blocks.BUFFER_SIZE


class Processor(Parametric):
    """Audio in, audio out.

    It is called like a plugin of pedalboard, and its parameters are attributes. A stream of blocks equals one call with
    the whole signal.
    """

    is_effect = True
    is_instrument = False

    def __init__(self, **values: float) -> None:
        """Set parameters by name. The others start at their defaults.

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
        self, input_array: NDArray[Any], sample_rate: float, buffer_size: int = blocks.BUFFER_SIZE, reset: bool = True
    ) -> Audio:
        """Process audio.

        Args:
            input_array: float32 or float64, (samples,), (channels, samples) or (samples, channels).
            sample_rate: Hz.
            buffer_size: samples of the largest block that is processed at once.
            reset: True processes the input as a whole signal. The output is as long, and aligned with it. False
                continues the stream. The output may be shorter, and later calls or `flush` return the rest.

        Returns:
            float32 in the layout of the input.

        Raises:
            TypeError: the input is not an array of floats.
            RuntimeError: it is not one- or two-dimensional, or it is square and the layout is not known yet.
            ValueError: the sample rate or buffer size is not positive.
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
        self, input_array: NDArray[Any], sample_rate: float, buffer_size: int = blocks.BUFFER_SIZE, reset: bool = True
    ) -> Audio:
        """Process audio; see `process`."""
        return self.process(input_array, sample_rate, buffer_size, reset)

    def reset(self) -> None:
        """Clear the stream: tails, held samples, and the layout of square arrays. Parameters stay."""
        with self.exclusive():
            self._layout = Layout()
            self._end()
            self._passed = Passed()

    def flush(self) -> Audio:
        """End the stream and return the samples that it still holds back, in its layout."""
        with self.exclusive():
            if self._spec is None:
                return self._layout.leave(np.zeros((1, 0), np.float32))
            rest = _join(list(self.rest()), self._spec.channels)
            self._end()
            return self._layout.leave(rest)

    def exclusive(self) -> AbstractContextManager[object]:
        """Return a context in which only the current thread can use this processor. Other threads wait."""
        return self._lock

    @property
    def latency_samples(self) -> int:
        """The most samples by which a stream's output is behind its input, at the current sample rate.

        Calls with `reset=True` compensate for it. 0 before the first call.
        """
        return 0

    # -- what a subclass implements --------------------------------------------------------------------------------

    def prepare(self, spec: Spec) -> None:
        """Allocate memory and clear all state for a new stream.

        It is called before the first block of a stream, so after every reset.

        Args:
            spec: sample rate, channels and largest block of the stream.
        """

    @abstractmethod
    def process_block(self, block: Audio) -> Audio:
        """Process the next block of the stream.

        Args:
            block: (channels, samples), 1 to `buffer_size` samples. It must not be changed.

        Returns:
            (channels, samples), with as many samples as the block, or fewer now and the missing ones later.
        """

    # -- the stream ------------------------------------------------------------------------------------------------

    def open_stream(self, spec: Spec) -> None:
        """Begin a stream for a caller that uses `push`, `feed` and `rest` directly, as a chain does."""
        self._end()
        self._begin(spec.sample_rate, spec.channels, spec.buffer_size)

    def feed(self, block: Audio) -> Audio:
        """Process a block with `process_block`, and count the samples that go in and come out."""
        out = self.process_block(block)
        passed = self._passed
        passed.taken += block.shape[1]
        passed.given += out.shape[1]
        return out

    def push(self, audio: Audio) -> Iterator[Audio]:
        """Process (channels, samples) of any length in blocks of at most the buffer size, and yield the results."""
        assert self._spec is not None
        for start in range(0, audio.shape[1], self._spec.buffer_size):
            yield self.feed(audio[:, start : start + self._spec.buffer_size])

    def rest(self) -> Iterator[Audio]:
        """Yield the samples that are still inside at the end of a stream, by pushing silence through."""
        assert self._spec is not None
        silence = np.zeros((self._spec.channels, min(self._spec.buffer_size, blocks.FLUSH_BLOCK)), np.float32)
        patience = math.ceil(blocks.FLUSH_SECONDS * self._spec.sample_rate / silence.shape[1])
        while (owed := self._passed.taken - self._passed.given) > 0:
            patience -= 1
            out = self.process_block(silence) if patience >= 0 else np.zeros((self._spec.channels, owed), np.float32)
            self._passed.given += min(owed, out.shape[1])
            yield out[:, :owed]

    def _begin(self, rate: float, channels: int, size: int) -> None:
        """Start a stream, unless one of this rate and number of channels is running.

        Another buffer size does not end a stream. Its blocks never get larger than in the `Spec` of `prepare`.
        """
        if self._continues(rate, channels):
            return
        self._passed = Passed()
        spec = Spec(rate, channels, size)
        before = dict(self.__dict__)
        self._sealed = False  # `prepare` may add attributes, as `__init__` may
        try:
            self.prepare(spec)
        finally:
            self._sealed = True
        for name, value in self.__dict__.items():  # what `prepare` assigns belongs to the stream, not to a copy
            if before.get(name, _Missing) is not value:
                self._before_stream.setdefault(name, before.get(name, _Missing))
        self._spec = spec

    def _continues(self, rate: float, channels: int) -> bool:
        """Return whether the running stream has this sample rate and number of channels."""
        return self._spec is not None and self._spec.sample_rate == rate and self._spec.channels == channels

    def _end(self) -> None:
        self._spec = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without the stream, which `prepare` starts again."""
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


_LARGEST = 2**53  # all whole numbers up to here are floats


def _positive(value: object, name: str) -> float:
    """Return a sample rate or buffer size as a float.

    Raises:
        ParameterTypeError: not a number. This is a TypeError, too.
        ParameterError: not finite, or below 1. This is a ValueError, too.
    """
    # The usual types first: every block of a stream passes here twice.
    if type(value) in (int, float) and 1 <= value <= _LARGEST:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    number = finite_number(value, name, text=False)
    if number < 1:
        raise ParameterError(f"{name}: expected a positive number of at least 1, found {shown(value)}")
    return number
