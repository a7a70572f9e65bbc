"""Impulse responses in the compiled engine, for boards that the native loop plays.

pedalboard's convolution cannot be called without the interpreter. Its response is measured at the stream's rate, with
its scaling and conversion. The compiled engine's filter plays it instead, which adds no latency either.
"""

from __future__ import annotations

import math

import numpy as np
import pedalboard
from numpy.typing import NDArray

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.engines.cpu import CpuEngine, CpuStream
from neural_fx.errors import AudioError
from neural_fx.impulse import Convolution, read_impulse_response, response_path
from neural_fx.networks import Conv, Sequential
from neural_fx.pedalboard import Container, Pedalboard
from neural_fx.processor import Processor, Spec

MARGIN_SECONDS = 0.01
"""How much longer a response may get by the conversion of its rate."""
LONGEST_SECONDS = 10.0
"""The longest response that is compiled. The compiled filter's work grows with the length of the response."""
_INAUDIBLE = 1e-9
"""Of the peak: a tail below this is cut off."""


class CompiledFilter(Processor):
    """An impulse response for each channel, in the compiled engine.

    Args:
        response: (channels, taps), at the rate of the streams that it will play.
    """

    def __init__(self, response: Audio) -> None:
        super().__init__()
        self._engines = [CpuEngine(_network(row)) for row in response]

    def prepare(self, spec: Spec) -> None:
        if spec.channels != len(self._engines):
            raise ValueError(f"expected {len(self._engines)} channels, found {spec.channels}")
        self._streams = [engine.stream(1) for engine in self._engines]
        for stream in self._streams:
            stream.reset(0, np.zeros(0, np.float32))

    @property
    def streams(self) -> list[CpuStream]:
        """The stream of each channel, once one was begun."""
        return self._streams

    def process_block(self, block: Audio) -> Audio:
        rows = zip(self._streams, block, strict=True)
        return np.concatenate([stream.process(row[None, None])[0] for stream, row in rows])


class CompiledConvolution(Pedalboard):
    """A convolution in the compiled engine: a filter and a `mix`."""


def _network(response: NDArray[np.float32]) -> Sequential:
    weight = np.ascontiguousarray(response[None, None, ::-1])
    return Sequential(1, 1, (Conv(weight),))


def compile_convolutions(board: Container, spec: Spec) -> bool:
    """Replace pedalboard's convolutions in a board, at any depth, by compiled ones. No stream may have begun.

    A convolution whose length is not known, or that is too long, stays as it is.

    Args:
        board: the board.
        spec: of the streams that it will play.

    Returns:
        Whether one was replaced.
    """
    changed = False
    for number, plugin in enumerate(board):
        if isinstance(plugin, Container):
            changed |= compile_convolutions(plugin, spec)
        elif isinstance(plugin, pedalboard.Convolution):
            response = measured_response(plugin, spec)
            if response is not None:
                name = board.given_name(plugin)
                board[number] = CompiledConvolution([CompiledFilter(response)], mix=float(plugin.mix))
                if name is not None:
                    board.name_slot(board[number], name)
                changed = True
    return changed


def measured_response(plugin: pedalboard.Convolution, spec: Spec) -> Audio | None:
    """Return what a convolution makes of an impulse in each channel; None if its length is not known, or too long.

    The convolution is reset, and its mix is as before.

    Args:
        plugin: the convolution.
        spec: of the stream: (channels, taps) are at its rate.
    """
    seconds = _seconds(plugin)
    if seconds is None or seconds > LONGEST_SECONDS:
        return None
    mix = plugin.mix
    size = blocks.RESPONSE_BLOCK
    before = math.ceil(blocks.RESPONSE_PRIMING_SECONDS * spec.sample_rate / size) * size
    taps = math.ceil((seconds + MARGIN_SECONDS) * spec.sample_rate)
    impulse = np.zeros((spec.channels, before + taps), np.float32)
    impulse[:, before] = 1
    try:
        plugin.mix = 1.0
        out = np.asarray(plugin.process(impulse, spec.sample_rate, size), np.float32)
    finally:
        plugin.mix = mix
        plugin.reset()
    response = out[:, before:]
    heard = np.flatnonzero(np.abs(response).max(0) > _INAUDIBLE * np.abs(response).max())
    return response[:, : heard[-1] + 1] if len(heard) else None


def _seconds(plugin: pedalboard.Convolution) -> float | None:
    """The length of a convolution's response."""
    if isinstance(plugin, Convolution):
        return float(plugin.audio.shape[1] / plugin.audio_rate)
    path = response_path(plugin)
    if path is None:
        return None  # pedalboard does not tell the rate of an array
    try:
        audio, rate = read_impulse_response(path)
    except AudioError:  # it is gone meanwhile
        return None
    return float(audio.shape[1] / rate)
