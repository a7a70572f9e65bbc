"""Where boards come from: a file, a capture, a bundled timbre, or the text that a client sends.

Boards that the user names, on the command line or in the config, may use any file. Boards that the network names are
`ForeignBoard`s: they obey `Media`, have a limited size, and are tried out in another process before they are built.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import neural_fx
from bridge.host.trials import STANDARD, Trial, try_out
from bridge.media import BOARD_SUFFIXES, Media
from instruments import Instrument, open_instrument
from neural_fx.boards import MAX_BYTES, BoardPlan, load_board, plan_board
from neural_fx.errors import BoardError, NeuralFXError
from neural_fx.foreign import Rules
from neural_fx.inputs import read_bytes
from neural_fx.pedalboard import Pedalboard
from neural_fx.processor import Spec
from neural_fx.yaml_text import write_yaml

_MOST_IN_BUNDLE = 1000
"""Files of a plugin's folder that are looked at to tell whether it changed."""


def rules_of(media: Media) -> Rules:
    """Return what boards from the network may use."""
    return Rules(media.find, media.plugins)


class ForeignBoard:
    """A builder of boards from a text that came from the network, or from a file that the network named.

    Args:
        path: paths in the text are relative to its folder.
        text: of the board file.
        media: the files that it may use.

    Raises:
        BoardError: the text is not a board, or names something that it may not use.
    """

    def __init__(self, path: Path, text: bytes, media: Media) -> None:
        self.path, self.text, self.media = path, text, media
        self._tried = False
        self._plan()

    def __call__(self) -> Pedalboard:
        """Return the board, which is tried out first if it was not.

        Raises:
            BoardError: it was refused, or cannot be built.
        """
        if not self._tried:
            self.try_at([])
        try:
            return self._plan().build()
        except NeuralFXError as error:
            raise self._cleaned(error) from None

    def try_at(self, specs: Iterable[Spec]) -> None:
        """Build and play the board in a process of its own, unless that was done for the same content.

        Args:
            specs: rates, channels and block sizes to play it at; none: `STANDARD`.

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
        """Return an error that does not tell where the media folders are."""
        return BoardError(self.media.without_folders(str(error)))


def _identities(files: Iterable[Path]) -> Iterator[str]:
    """Yield texts that change when the content of a file, or of a plugin's folder, does."""
    for file in files:
        inside = sorted(file.rglob("*"))[:_MOST_IN_BUNDLE] if os.path.isdir(file) else []
        for path in (file, *inside):
            try:
                found = os.stat(path)
            except OSError:
                continue
            yield f"{path} {found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


def board_in(text: str, media: Media, spec: Spec | None = None) -> ForeignBoard:
    """Return a builder of boards from the text of a board file that a client sent.

    Args:
        text: YAML.
        media: the files that it may use.
        spec: how the client will play it; it is tried out at that. None: `STANDARD`.

    Raises:
        BoardError: the text is not a board, names a file elsewhere, or did not pass its trial.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise BoardError("the board has characters that no text can have") from None
    made = ForeignBoard(media.base / "session", data, media)
    made.try_at([] if spec is None else [spec])
    return made


def board_named(path: Path, media: Media, level: str = "raw") -> ForeignBoard:
    """Return a builder of boards from a file that the network named: a board file, or a capture as a board.

    Args:
        path: what `Media.existing` returned.
        media: the files that the board may use.
        level: output level of a capture, ``raw`` or ``normalized``.

    Raises:
        BoardError: the file cannot be read, is not a board, or names something that it may not use.
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
    """A builder of boards from a board file as it is now, or of a board with one capture from a capture's file.

    Args:
        path: the file, which the user named: the board may use any other.
        level: output level of a capture, ``raw`` or ``normalized``; a board file says those of its captures itself.

    Raises:
        BoardError: the board file cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() not in BOARD_SUFFIXES:
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
