"""Where boards come from: a file, a capture, a bundled timbre, or the text that a client sends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import neural_fx
from bridge.media import Media
from instruments import Instrument, open_instrument
from neural_fx.boards import MAX_BYTES, load_board
from neural_fx.errors import BoardError
from neural_fx.inputs import read_bytes
from neural_fx.pedalboard import Pedalboard


def board_in(text: str, media: Media) -> Callable[[], Pedalboard]:
    """A builder of boards from the text of a board file that came from a client: it may use the media folders alone.

    Raises:
        BoardError: the text is no board, or names a file elsewhere.
    """

    def make() -> Pedalboard:
        return load_board(media.base / "session", text.encode(), media.holds)

    make()
    return make


def board_from(path: str | Path, level: str = "raw") -> Callable[[], Pedalboard]:
    """A builder of boards from a board file as it is now, or of a board with one capture from a capture's file.

    Args:
        path: the file.
        level: output level of a capture, ``raw`` or ``normalized``; a board file says those of its captures itself.

    Raises:
        BoardError: the board file cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        return lambda: Pedalboard([neural_fx.load(path, level=level)])
    text = read_bytes(path, MAX_BYTES, BoardError, "a board")
    return lambda: load_board(path, text)


def instrument_from(timbre: str) -> Callable[[], Instrument]:
    """A builder of instruments from the name of a bundled timbre or the path of a timbre file.

    Raises:
        NeuralFXError: there is no such timbre.
    """
    open_instrument(timbre)
    return lambda: open_instrument(timbre)
