"""The schema of board files: what every slot may have, and the fields of a board and of its macros."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from neural_fx.macros import MOST_MACROS
from neural_fx.schema import EmptyList, EmptyMapping, Number, Setting
from neural_fx.values import is_finite_number


def path_text(value: object) -> str:
    """Accept text, also with bytes that are not UTF-8, which pydantic's own strings refuse."""
    if not isinstance(value, str):
        raise ValueError("Input should be a valid string")
    return value.strip()


@dataclass(frozen=True)
class NamesFile:
    """Marks the fields of a slot that name files, so that boards from the network are held to their folders.

    Attributes:
        bundled: function that returns the names that stand for something in the package, and not for a file.
    """

    bundled: Callable[[], Sequence[str]] = tuple


FileName = Annotated[str, PlainValidator(path_text), NamesFile()]
"""The name of a file in a board."""


class Strict(BaseModel):
    """A part of a board file. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Slot(Strict):
    """The fields of every slot. A kind of slot adds its own."""

    name: str | None = Field(None, pattern=r"^[^\s./*?\[\]{},#]+$", max_length=64)
    set: Annotated[dict[str, Setting], EmptyMapping] = {}

    @classmethod
    def file_fields(cls) -> dict[str, NamesFile]:
        """Return the fields that name files: those of type `FileName`, or with a `NamesFile` of their own."""
        marks = {name: [*info.metadata, *_marks(info.annotation)] for name, info in cls.model_fields.items()}
        return {name: mark for name, found in marks.items() for mark in found if isinstance(mark, NamesFile)}


def _marks(annotation: Any) -> Iterator[object]:
    """Yield what the parts of a type are annotated with."""
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        yield from _marks(part)


class TargetFields(Strict):
    """A parameter that a macro turns."""

    parameter: str
    min: Number | None = None
    max: Number | None = None


class MacroFields(Strict):
    """A macro."""

    name: str = Field(min_length=1, max_length=32)
    to: list[TargetFields] = Field(min_length=1)
    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="before")
    @classmethod
    def _targets(cls, value: Any) -> Any:
        """Write every target as a mapping. A target that is text gets the limits of the macro."""
        to = value.get("to") if isinstance(value, dict) else None
        if not isinstance(to, (str, list)):
            return value
        limits = {name: value[name] for name in ("min", "max") if is_finite_number(value.get(name))}
        targets = [to] if isinstance(to, str) else to
        return {**value, "to": [{"parameter": t, **limits} if isinstance(t, str) else t for t in targets]}


class BoardFields(Strict):
    """A board. Its slots and macros are validated one by one, so that errors name their line."""

    board: Literal[1] = 1
    name: str | None = None
    mix: Number = Field(1.0, ge=0, le=1)
    slots: Annotated[list[Any], EmptyList]
    macros: Annotated[list[Any], EmptyList] = Field([], max_length=MOST_MACROS)
