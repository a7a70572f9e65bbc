"""Read and write YAML by the core schema of YAML 1.2, with the line number of every field.

PyYAML reads YAML 1.1, where ``on`` is a boolean, ``010`` is eight, ``12:30:00`` is 45000 and ``1e3`` is text. Here:

======================  ==========================================
written                 read
======================  ==========================================
``true``, ``false``     booleans
``on``, ``off``, ...    text, which switches read as 1 or 0
``010``, ``1e3``, ``.5``  10, 1000.0, 0.5
``0x10``, ``0o10``      16, 8
``1_000``, ``12:30:00``, dates  text
``.inf``, ``.nan``      floats that are not finite
``~``, ``null``, empty  None
======================  ==========================================

Keys are always text, as written. Duplicate keys, merge keys, aliases and tags are errors. Text that YAML 1.1 or 1.2
would read as another type is written in quotes, so every reader gets the same value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from neural_fx.errors import NeuralFXError

Place = tuple["str | int", ...]
"""Keys and indices that lead to a field of a document."""

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class YamlError(NeuralFXError, ValueError):
    """A document that cannot be read.

    Args:
        problem: what is wrong.
        line: number of the line, from 1; 0 if the problem has no line.
        place: keys and indices of the field, if the problem is in one.
    """

    def __init__(self, problem: str, line: int = 0, place: Place = ()) -> None:
        self.problem = problem
        self.line = line
        self.place = place
        super().__init__(f"line {line}: {problem}" if line else problem)


@dataclass
class Document:
    """A document that was read.

    Attributes:
        value: dicts, lists, text, numbers, booleans and None.
        lines: line numbers of all fields, from 1.
    """

    value: Any = None
    lines: dict[Place, int] = field(default_factory=dict)


def read_yaml(data: bytes) -> Document:
    """Read one YAML document.

    Args:
        data: UTF-8, with or without a byte order mark.

    Raises:
        YamlError: it is not UTF-8, not valid YAML, nested too deeply, or uses features that are not allowed here.
    """
    try:
        loader = _Loader(data.decode("utf-8-sig"))
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
        found = Document()
        if root is not None:
            found.value = _value(root, (), found)
        return found
    except UnicodeDecodeError:
        raise YamlError("is not text (UTF-8)") from None
    except RecursionError:
        raise YamlError("is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise YamlError(f"is not valid YAML: {problem}", mark.line + 1 if mark else 0) from None


def write_yaml(value: Any) -> str:
    """Return plain data as YAML. `read_yaml` and readers of YAML 1.1 read the same data back."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


class _Loader(yaml.SafeLoader):
    """Composes nodes. `_plain` interprets plain scalars later."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise YamlError(f"uses a YAML alias (*{event.anchor}), which is not allowed here", line)
        if getattr(event, "tag", None) is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            raise YamlError(f"uses the YAML tag {tag}, which is not allowed here; put text in quotes", line)
        return super().compose_node(parent, index)


def _value(node: Any, place: Place, found: Document) -> Any:
    """Return the plain data of a node, and record the lines of all fields in it."""
    line = node.start_mark.line + 1
    found.lines.setdefault(place, line)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, found)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, i), found) for i, item in enumerate(node.value)]
    return _plain(str(node.value), line, place) if node.style is None else str(node.value)


def _mapping(node: yaml.MappingNode, place: Place, found: Document) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise YamlError("is not valid YAML here: a key must be text; put text with { or [ in quotes", line, place)
        name = str(key.value)
        if name == "<<" and key.style is None:
            raise YamlError("uses a merge key (<<), which is not allowed here", line, place)
        if name in result:
            first = found.lines[(*place, name)]
            raise YamlError(f"duplicate key {name!r} (first on line {first})", line, place)
        found.lines[(*place, name)] = line
        result[name] = _value(value, (*place, name), found)
    return result


def _plain(text: str, line: int, place: Place) -> Any:
    """Return the value of a scalar without quotes."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        try:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        except ValueError:  # Python reads at most 4300 digits
            raise YamlError(f"a number of {len(text)} digits is too long", line, place) from None
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as another type."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^(?:{_FLOAT.pattern})$"), list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"^(?:{_INT.pattern})$"), list("-+0123456789"))


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML folds these line breaks in other styles, so they would come back as spaces.
    style = '"' if any(character in text for character in "\r\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)
