"""A board file while it is read, and errors that name its line and field."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from neural_fx.errors import BoardError
from neural_fx.foreign import Rules
from neural_fx.schema import field_problem

_LONGEST_KEY = 64
"""Characters of a field's name that an error quotes."""

Place: TypeAlias = "tuple[str | int, ...]"
"""Where something is in a board file, such as ``("slots", 0, "set")``."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Source:
    """A board file while it is read.

    Attributes:
        path: the file.
        lines: the line of every field.
        rules: what the board may use; None for anything.
        stored: numbers in the plugins that are built so far, for `Rules.check_size`.
    """

    path: Path
    lines: dict[Place, int] = field(default_factory=dict)
    rules: Rules | None = None
    stored: int = 0

    @property
    def folder(self) -> Path:
        """Folder that names of files in the board are relative to."""
        return self.path.parent

    def fail(self, where: Place, problem: str) -> NoReturn:
        """Raise a `BoardError` that names the line and the field."""
        known = where
        while known and known not in self.lines:
            known = known[:-1]
        spelled = "".join(f"[{p}]" if isinstance(p, int) else f".{_short(p)}" for p in where).lstrip(".")
        line = f"line {self.lines.get(known, 1)}"
        raise BoardError(": ".join(part for part in (f"{self.path}, {line}", spelled, problem) if part))

    def validate(self, model: type[Model], value: object, where: Place) -> Model:
        """Return a part of the file as its model.

        Args:
            model: the schema of the part.
            value: what the file has there.
            where: where in the file, for the error.

        Raises:
            BoardError: it does not fit the schema.
        """
        try:
            return model.model_validate(value)
        except ValidationError as error:
            place, problem = field_problem(error, model)
            self.fail((*where, *place), problem)


def _short(key: str) -> str:
    return key if len(key) <= _LONGEST_KEY else key[: _LONGEST_KEY - 3] + "..."
