"""Limits of boards that come from somebody else: which files they may use, and how large they may be.

A board of the user's own has no limits. A board from the network is built by a worker that other people play through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neural_fx.errors import BoardError
from neural_fx.native_runs import NOT_STREAMING
from neural_fx.sharing import everything_in

Locate = Callable[[str, Path, bool], Path | None]
"""``locate(name, folder, bundle)``: the file that a board in `folder` names, or None if it may not use it or there is
none. `bundle` allows a folder, as VST3 plugins are."""


@dataclass(frozen=True)
class Rules:
    """What a board from somebody else may use.

    Attributes:
        locate: finds its files.
        plugins: whether it may run code of other people: VST3 and Audio Unit plugins, and installed processors.
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

    def check_size(self, values: int) -> None:
        """Check what a board, built or in the making, takes in memory.

        Args:
            values: the sum of `neural_fx.boards.stored_values` of its plugins.

        Raises:
            BoardError: it is more than `most_values`; names the limit.
        """
        if values > self.most_values:
            raise BoardError(
                f"the board holds {values / 2**20:.0f} million numbers in networks and impulse responses; "
                f"a board from the network may hold {self.most_values / 2**20:.0f} million"
            )


def array_values(fields: Mapping[str, object]) -> int:
    """Return how many numbers the arrays in a mapping hold."""
    return sum(int(value.size) for value in fields.values() if isinstance(value, np.ndarray))


def not_streaming(board: object) -> Iterator[str]:
    """Yield the names of the plugins in a board that keep all of their input, so that they cannot play live."""
    for plugin in everything_in(board):
        if isinstance(plugin, NOT_STREAMING):
            yield type(plugin).__name__
