"""Define field types and error messages for YAML files: boards and a worker's config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args

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
"""A finite number. Text such as ``0.5`` counts as one."""

Setting = Annotated[bool | float | str, PlainValidator(_setting)]
"""A parameter's value: a finite number, a boolean, or text, which the parameter itself interprets."""

EmptyList = BeforeValidator(_empty_list)
"""Reads nothing after the colon as an empty list."""

EmptyMapping = BeforeValidator(_empty_mapping)
"""Reads nothing after the colon as an empty mapping."""


_EXPECTED = {
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
}
"""What pydantic expects, in plain words, by the type of error."""


def sentence(details: ErrorDetails, model: type[BaseModel]) -> str:
    """Return a sentence that says what is wrong with a field, what was found, and what to write instead.

    Args:
        details: one of `ValidationError.errors()`.
        model: of the part of the file where it happened. Its fields are listed if a field is unknown.
    """
    kind, found = details["type"], details["input"]
    text = details["msg"][:1].lower() + details["msg"][1:]
    if kind == "extra_forbidden":
        names = list(model.model_fields)
        hint = suggestion(str(details["loc"][-1]), names)
        return f"unknown field{hint}; known fields: {', '.join(names)}"
    if kind == "string_type" and isinstance(found, (bool, int, float)):
        return f"expected text, found {shown(found)}; put it in quotes"
    if kind == "literal_error" and isinstance(found, str):
        hint = suggestion(found, _literals(details.get("ctx", {})))
        return f"{text}, found {shown(found)}{hint}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {shown(found)}"
    if kind in ("missing", "number") or isinstance(found, (dict, list)):
        return text
    return f"{text}, found {shown(found)}"


def _literals(context: Mapping[str, Any]) -> list[str]:
    """Return the words in pydantic's ``'raw', 'normalized' or 'calibrated'``."""
    return [part.strip("' ") for part in str(context.get("expected", "")).replace(" or ", ",").split(",")]


def field_problem(error: ValidationError, model: type[BaseModel]) -> tuple[tuple[str | int, ...], str]:
    """Return the path of the first field that is wrong, and a sentence about it.

    Args:
        error: that `model_validate` raised.
        model: whose method that was.
    """
    found = error.errors(include_url=False)
    first = found[0]
    if first["type"] == "missing":  # a misspelled field is missing, too, and its name helps more
        first = next((details for details in found if details["type"] == "extra_forbidden"), first)
    return first["loc"], sentence(first, _model_at(model, first["loc"]))


def _model_at(model: type[BaseModel], place: tuple[str | int, ...]) -> type[BaseModel]:
    """Return the model that a field belongs to, from the path of the field inside `model`."""
    for part in place[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models(model.model_fields[part].annotation), model)
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
