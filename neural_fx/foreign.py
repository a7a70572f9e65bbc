"""Limits of boards that come from somebody else: which files they may use, and how large they may be.

A board of the user's own has no limits. A board from the network is built by a worker that other people play through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neural_fx.errors import BoardError
from neural_fx.formats.network import Conv, walk
from neural_fx.impulse import Convolution
from neural_fx.native_runs import NOT_STREAMING
from neural_fx.neural import NeuralProcessor
from neural_fx.sharing import everything_in

Locate = Callable[[str, Path, bool], Path | None]
"""``locate(name, folder, bundle)``: the file that a board in `folder` names, or None if it may not use it or there is
none. `bundle` allows a folder, as VST3 plugins are."""


@dataclass(frozen=True)
class Rules:
    """What a board from somebody else may use.

    Attributes:
        locate: finds its files.
        plugins: whether it may load VST3 and Audio Unit plugins.
        most_bytes: size of its text. Reading 128 KB of YAML takes about a second.
        most_slots: slots, those inside of chains counted.
        most_targets: parameters that one macro turns.
        most_parameters: addresses of its parameters.
        most_values: 32-bit numbers in its weights, impulse responses, and the past signal that its networks keep for
            one channel. The largest capture in circulation has under a million.
    """

    locate: Locate
    plugins: bool = False
    most_bytes: int = 2**17
    most_slots: int = 64
    most_targets: int = 64
    most_parameters: int = 4096
    most_values: int = 2**24

    def check_size(self, board: Iterable[object]) -> None:
        """Check what a board, built or in the making, takes in memory.

        Raises:
            BoardError: it takes more than `most_values`; names the limit.
        """
        values = sum(stored_values(plugin) for plugin in everything_in(board))
        if values > self.most_values:
            raise BoardError(
                f"the board holds {values / 2**20:.0f} million numbers in networks and impulse responses; "
                f"a board from the network may hold {self.most_values / 2**20:.0f} million"
            )


def stored_values(plugin: object) -> int:
    """Return how many 32-bit numbers a plugin stores for one channel; 0 for containers and native plugins."""
    if isinstance(plugin, NeuralProcessor):
        return _network_values(plugin)
    if isinstance(plugin, Convolution):
        return int(plugin.audio.size)
    timbres = getattr(getattr(plugin, "instrument", plugin), "timbres", ())
    return sum(_array_values(timbre.decoder.w) + int(timbre.reverb.size) for timbre in timbres)


def _network_values(processor: NeuralProcessor) -> int:
    parts = list(walk(processor.capture.network))
    weights = sum(_array_values(vars(part)) for part in parts)
    past = sum(part.history * part.in_channels for part in parts if isinstance(part, Conv))
    return weights + past * processor.oversample


def _array_values(fields: dict[str, object]) -> int:
    return sum(int(value.size) for value in fields.values() if isinstance(value, np.ndarray))


def not_streaming(board: object) -> Iterator[str]:
    """Yield the names of the plugins in a board that keep all of their input, so that they cannot play live."""
    for plugin in everything_in(board):
        if isinstance(plugin, NOT_STREAMING):
            yield type(plugin).__name__
