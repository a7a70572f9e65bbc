"""Describe one render so that it can travel to another process or machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neural_fx.errors import NeuralFXError, reason
from neural_fx.pedalboard import Pedalboard
from neural_fx.render.file import render_file
from neural_fx.render.output import Output
from neural_fx.render.report import Interrupted, Report, failed


class BoardRecipe:
    """Make a board once, and keep it.

    A pickled or deep-copied recipe leaves its board behind and makes another one. So jobs that travel together share
    one board again where they arrive.

    Args:
        make: function that makes the board. It must be picklable if the jobs leave this process.
    """

    def __init__(self, make: Callable[[], Pedalboard]) -> None:
        self.make = make
        self._board: Pedalboard | None = None

    def board(self) -> Pedalboard:
        """Return the board. The first call makes it.

        Raises:
            NeuralFXError: the board cannot be made.
        """
        if self._board is None:
            self._board = self.make()
        return self._board

    def __reduce__(self) -> tuple[type[BoardRecipe], tuple[Callable[[], Pedalboard]]]:
        return type(self), (self.make,)


@dataclass(frozen=True)
class Job:
    """One file to render. It can be pickled and run anywhere that has the same files and the same packages.

    Attributes:
        number: place of its report in the list of all reports, from 0.
        source: input file. A relative path starts at the working directory.
        target: output file, in the same way.
        recipe: makes the board, on its device and with its settings. The jobs of one list share it.
        output: sample rate, sample format, tail, and whether to replace a file.
    """

    number: int
    source: Path
    target: Path
    recipe: BoardRecipe
    output: Output

    def run(
        self,
        advance: Callable[[float], None] = lambda seconds: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Render the file here and now.

        Any error ends up in the report. Whatever a file, a plugin or the system raises must not stop the other jobs.

        Args:
            advance: called after each block with its seconds of audio.
            stop: called between blocks. Once it returns true, the render ends and its output is removed.

        Raises:
            Interrupted: `stop` returned true.
        """
        source, target = self.source, self.target
        try:
            return render_file(source, target, self.recipe.board(), self.output, advance, stop)
        except Interrupted:
            raise
        except NeuralFXError as error:
            return failed(source, target, str(error))
        except OSError as error:
            return failed(source, target, f"{source}: cannot be rendered: {reason(error)}")
        except Exception as error:
            text = " ".join(str(error).split())
            return failed(source, target, f"{source}: cannot be rendered: {type(error).__name__}: {text}".rstrip(": "))
