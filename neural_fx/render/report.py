"""Report what became of a render."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neural_fx.inputs import printable


class Interrupted(Exception):  # noqa: N818 - not an error, the user asked for it
    """The render was asked to stop. Its output does not exist."""


@dataclass
class Report:
    """The result of one file.

    Attributes:
        input: the file that was read. Bytes that are not UTF-8 are written as ``\\xNN``.
        output: the file that was written, in the same form.
        seconds: length of the audio that was written.
        wall_seconds: time that the render took.
        speed: multiple of real time.
        peak_db: peak in dBFS, before any clipping; None for silence.
        clipped_samples: number of samples above full scale.
        remarks: what a user should know, although the file was rendered.
        error: why there is no output.
    """

    input: str
    output: str
    seconds: float = 0.0
    wall_seconds: float = 0.0
    speed: float = 0.0
    peak_db: float | None = None
    clipped_samples: int = 0
    remarks: list[str] = field(default_factory=list)
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return all attributes by name, for JSON."""
        return asdict(self)


def failed(source: Path, target: Path, error: str) -> Report:
    """Return the report of a file that could not be rendered.

    Args:
        source: input file.
        target: output file.
        error: why there is no output.
    """
    return Report(printable(source), printable(target), error=printable(error))
