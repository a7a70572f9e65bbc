"""Load boards from a file, a capture, a bundled timbre, or the text that a client sends.

A board that the user names, on the command line or in the config, may use any file. A board that comes over the network
is a `ForeignBoard`. It may use only files that `Media` allows, has a limited size, and is tried in another process
before it is built.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import neural_fx
from bridge import limits
from bridge.host.trials import STANDARD, Trial, try_out
from bridge.media import BOARD_SUFFIXES, Media
from bridge.protocol import shortened
from instruments import Instrument, open_instrument
from neural_fx.boards import MAX_BYTES, BoardPlan, load_board, plan_board
from neural_fx.errors import BoardError, NeuralFXError
from neural_fx.foreign import Rules
from neural_fx.inputs import printable, read_bytes
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Spec
from neural_fx.yaml_text import write_yaml


def rules_of(media: Media) -> Rules:
    """Return the rules for boards from the network: which files and plugins they may use."""
    return Rules(media.find, media.plugins)


class ForeignBoard:
    """A function that builds a board from the network: from a text, or from a file that a client named.

    Args:
        path: path of the board file. Paths in the text are relative to its folder.
        text: content of the board file.
        media: the files that the board may use.

    Raises:
        BoardError: the text is not a board, or names something that is not allowed.
    """

    def __init__(self, path: Path, text: bytes, media: Media) -> None:
        self.path, self.text, self.media = path, text, media
        self._tried = False
        self._plan()

    def __call__(self) -> Pedalboard:
        """Build the board, after a trial if there was none yet.

        Raises:
            BoardError: the board failed its trial, or cannot be built.
        """
        if not self._tried:
            self.try_at([])
        try:
            return self._plan().build()
        except NeuralFXError as error:
            raise self._cleaned(error) from None

    def try_at(self, specs: Iterable[Spec]) -> None:
        """Build and play the board in a process of its own. Content that passed before is not tried again.

        Args:
            specs: rates, channels and block sizes to play it with; empty for `STANDARD`.

        Raises:
            BoardError: the process failed, hung or died, or the output was not finite.
        """
        plan, trials = self._plan(), list(specs) or [STANDARD]
        identity = hashlib.sha256(self.text)
        for part in (str(self.path), *_identities(plan.files)):
            identity.update(b"\0" + os.fsencode(part))
        trial = Trial(self.path, self.text, self.media, identity.hexdigest())
        try:
            for spec in trials:
                try_out(trial, spec)
        except NeuralFXError as error:
            raise self._cleaned(error) from None
        self._tried = True

    def _plan(self) -> BoardPlan:
        try:
            return plan_board(self.path, self.text, rules_of(self.media))
        except NeuralFXError as error:
            raise self._cleaned(error) from None

    def _cleaned(self, error: NeuralFXError) -> BoardError:
        """Return an error for the network: short, printable, and without the paths of folders."""
        text = printable(self.media.without_folders(str(error)).replace(str(self.path), self.path.name))
        return BoardError(shortened(text, limits.BOARD_ERROR_CHARACTERS))


def _identities(files: Iterable[Path]) -> Iterator[str]:
    """Yield texts that change if the content of a file or of a plugin's folder changes."""
    for file in files:
        inside = (Path(folder) / name for folder, _, names in os.walk(file) for name in names)
        for path in (file, *sorted(islice(inside, limits.BUNDLE_FILES))):
            try:
                found = os.stat(path)
            except OSError:
                continue
            yield f"{path} {found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


def board_in(text: str, media: Media, spec: Spec | None = None) -> ForeignBoard:
    """Try the board in a text that a client sent, and return a function that builds it.

    Args:
        text: YAML of a board file.
        media: the files that the board may use.
        spec: how the client will play it, for the trial; None for `STANDARD`.

    Raises:
        BoardError: the text is not a board, names a file that is not allowed, or failed its trial.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise BoardError("the board has characters that no text can have") from None
    made = ForeignBoard(media.base / "session", data, media)
    made.try_at([] if spec is None else [spec])
    return made


def board_named(path: Path, media: Media, level: str = "raw") -> ForeignBoard:
    """Return a function that builds a board from a file that a client named.

    Args:
        path: a board file, or a capture that becomes a board, as `Media.existing` returned it.
        media: the files that the board may use.
        level: output level of a capture, ``raw`` or ``normalized``.

    Raises:
        BoardError: the file cannot be read, is not a board, or names something that is not allowed.
    """
    if path.suffix.lower() in BOARD_SUFFIXES:
        try:
            text = read_bytes(path, rules_of(media).most_bytes, BoardError, "a board from the network")
        except BoardError as error:
            raise BoardError(media.without_folders(str(error))) from None
        return ForeignBoard(path, text, media)
    slot = {"model": path.name, "level": level}
    return ForeignBoard(path, write_yaml({"slots": [slot]}).encode(), media)


def board_from(path: str | Path, level: str = "raw") -> Callable[[], Pedalboard]:
    """Return a function that builds a board from a file that the user named. The board may use any other file.

    Args:
        path: a board file, which is read now, or a capture that becomes a board.
        level: output level of a capture, ``raw`` or ``normalized``. A board file has the levels of its own captures.

    Raises:
        BoardError: the board file cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() not in BOARD_SUFFIXES:
        return lambda: Pedalboard([neural_fx.load(path, level=level)])
    text = read_bytes(path, MAX_BYTES, BoardError, "a board")
    return lambda: load_board(path, text)


def instrument_from(timbre: str) -> Callable[[], Instrument]:
    """Return a function that builds an instrument.

    Args:
        timbre: name of a bundled timbre, or path of a timbre file.

    Raises:
        NeuralFXError: there is no such timbre.
    """
    open_instrument(timbre)
    return lambda: open_instrument(timbre)
