"""The errors this package raises on purpose. Each message is one line that says what to change."""

from __future__ import annotations

import errno
from pathlib import Path


def reason(error: BaseException) -> str:
    """Return why an error happened, on one line and never empty, to end a sentence with.

    Some exceptions have no text, such as an `EOFError`; then the name of their class says it.
    """
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return "the name is too long"
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()) or type(error).__name__


class NeuralFXError(Exception):
    """Base of every error that bad input can cause; the command line prints it without a traceback."""


class ModelError(NeuralFXError, ValueError):
    """A model file that cannot be used.

    Args:
        problem: what was found and what was expected.
        field: where in the file, as a path such as ``config.layers[0].channels``; empty if the file as a whole.
        file: the file, when known (``neural_fx.load`` fills it in).
    """

    def __init__(self, problem: str, field: str = "", file: str | Path | None = None) -> None:
        self.problem, self.field, self.file = problem, field, file
        super().__init__(": ".join(str(part) for part in (file, field, problem) if part))

    def __reduce__(self) -> tuple[type[ModelError], tuple[str, str, str | Path | None]]:
        """Pickle all three parts, so that the error arrives whole from another process."""
        return type(self), (self.problem, self.field, self.file)

    def inside(self, file: str | Path) -> ModelError:
        """The same error, naming the file it happened in."""
        return self if self.file else ModelError(self.problem, self.field, file)


class ParameterError(NeuralFXError, AttributeError, ValueError):
    """An unknown parameter, or a value outside its range."""


class ParameterTypeError(ParameterError, TypeError):
    """A value that is no number where a number is needed."""


class BoardError(NeuralFXError, ValueError):
    """A board file that does not fit the schema; names the line and the field."""


class MissingPackageError(NeuralFXError, ImportError):
    """An optional package that is needed is not installed; says which command installs it."""


class AudioError(NeuralFXError, ValueError):
    """An audio file that cannot be read, written, or processed."""


class TrainingError(NeuralFXError, ValueError):
    """A recording pair that cannot be trained on, and why."""
