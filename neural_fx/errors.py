"""Define the errors that this package raises on purpose. Each message is one line that says what to change."""

from __future__ import annotations

import errno
from pathlib import Path


def reason(error: BaseException) -> str:
    """Return why an error happened, on one line, to end a sentence with.

    Some exceptions have no text, such as an `EOFError`. For these it is the name of their class.
    """
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return "the name is too long"
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()) or type(error).__name__


class NeuralFXError(Exception):
    """Base of every error that bad input can cause. The command line prints it without a traceback."""


class ModelError(NeuralFXError, ValueError):
    """A model file that cannot be used.

    Args:
        problem: what was found and what was expected.
        field: where in the file, as a path such as ``config.layers[0].channels``; empty for the whole file.
        file: the file, if it is known. ``neural_fx.load`` fills it in.
    """

    def __init__(self, problem: str, field: str = "", file: str | Path | None = None) -> None:
        self.problem, self.field, self.file = problem, field, file
        super().__init__(": ".join(str(part) for part in (file, field, problem) if part))

    def __reduce__(self) -> tuple[type[ModelError], tuple[str, str, str | Path | None]]:
        """Pickle all three parts, so that the error keeps them on its way from another process."""
        return type(self), (self.problem, self.field, self.file)

    def inside(self, file: str | Path) -> ModelError:
        """Return the same error with the name of the file. An error that names a file already stays as it is."""
        return self if self.file else ModelError(self.problem, self.field, file)


class ParameterError(NeuralFXError, AttributeError, ValueError):
    """An unknown parameter, or a value outside its range."""


class ParameterTypeError(ParameterError, TypeError):
    """A value that is not a number, where a number is needed."""


class BoardError(NeuralFXError, ValueError):
    """A board file that does not fit the schema. The message names the line and the field."""


class MissingPackageError(NeuralFXError, ImportError):
    """An optional package that is needed but not installed. The message says which command installs it."""


class AudioError(NeuralFXError, ValueError):
    """An audio file that cannot be read, written, or processed."""


class TrainingError(NeuralFXError, ValueError):
    """A pair of recordings that cannot be trained on."""
