"""Fields and error sentences of the YAML files that people write: boards and a worker's config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, PlainValidator, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from neural_fx.errors import ParameterError
from neural_fx.values import finite_number, shown, suggestion


def _number(value: object) -> float:
    try:
        return finite_number(value, "")
    except ParameterError:
        raise PydanticCustomError(
            "number", "expected a finite number, found {found}", {"found": shown(value)}
        ) from None


def _setting(value: object) -> bool | float | str:
    return value if isinstance(value, (bool, str)) else _number(value)


def _empty_list(value: object) -> object:
    return [] if value is None else value


def _empty_mapping(value: object) -> object:
    return {} if value is None else value


Number = Annotated[float, BeforeValidator(_number)]
"""A finite number; text that is one counts."""

Setting = Annotated[bool | float | str, PlainValidator(_setting)]
"""A parameter's value: a finite number, a boolean, or text that the parameter itself makes sense of."""

EmptyList = BeforeValidator(_empty_list)
"""For a list: nothing after the colon is an empty one."""

EmptyMapping = BeforeValidator(_empty_mapping)
"""For a mapping: nothing after the colon is an empty one."""


def sentence(details: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what is wrong with a field, what was found, and what to write instead.

    Args:
        details: the first of `ValidationError.errors()`.
        model: of the part of the file in which it happened; its fields are listed for an unknown one.
    """
    kind, found = details["type"], details["input"]
    text = details["msg"][:1].lower() + details["msg"][1:]
    if kind == "extra_forbidden":
        names = list(model.model_fields)
        hint = suggestion(str(details["loc"][-1]), names)
        return f"{text}{hint}; known fields: {', '.join(names)}"
    if kind == "string_type" and isinstance(found, (bool, int, float)):
        return f"expected text, found {shown(found)}; put it in quotes"
    if kind == "literal_error" and isinstance(found, str):
        hint = suggestion(found, _literals(details.get("ctx", {})))
        return f"{text}, found {shown(found)}{hint}"
    if kind in ("missing", "number") or isinstance(found, (dict, list)):
        return text
    return f"{text}, found {shown(found)}"


def _literals(context: Mapping[str, Any]) -> list[str]:
    """Return the texts in pydantic's ``'raw', 'normalized' or 'calibrated'``."""
    return [part.strip("' ") for part in str(context.get("expected", "")).replace(" or ", ",").split(",")]


def field_problem(error: ValidationError, model: type[BaseModel]) -> tuple[tuple[str | int, ...], str]:
    """Return the place of the first thing that is wrong, and a sentence about it.

    Args:
        error: what `model_validate` raised.
        model: whose it was.
    """
    first = error.errors(include_url=False)[0]
    return tuple(part for part in first["loc"] if isinstance(part, (str, int))), sentence(first, model)
