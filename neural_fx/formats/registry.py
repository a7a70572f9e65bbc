"""Register model formats. A `Format` describes one, and `Content` is the file that it looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from neural_fx.errors import ModelError
from neural_fx.formats.capture import Capture
from neural_fx.formats.reader import Node, parse_json
from neural_fx.registry import Registry


class Content:
    """The bytes of a model file, also parsed as JSON.

    Args:
        data: the whole file.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.problem: ModelError | None = None

    @cached_property
    def json(self) -> object:
        """Parse the file as JSON. None if it is not JSON; `problem` then has the reason."""
        try:
            return parse_json(self.data)
        except ModelError as error:
            self.problem = error
            return None

    @property
    def root(self) -> Node:
        """Wrap the JSON value in a `Node`, which checks types and ranges."""
        return Node(self.json)

    def has_keys(self, *keys: str) -> bool:
        """Return whether the file is a JSON object with all these keys."""
        return isinstance(self.json, dict) and all(key in self.json for key in keys)


@dataclass(frozen=True)
class Format:
    """A format of model files.

    Attributes:
        name: name in error messages, such as ``GuitarML``.
        matches: returns whether a file looks like this format. It is called for every file, so it must be quick and
            must not raise.
        read: makes a capture from a file that matches. It raises `ModelError`, which names the wrong field.
        suffixes: usual endings of file names, for lists and file dialogs. The format itself is found by content.
    """

    name: str
    matches: Callable[[Content], bool]
    read: Callable[[Content], Capture]
    suffixes: tuple[str, ...] = (".json",)


FORMATS = Registry(
    "neural_fx.formats",
    Format,
    built_in=(
        "neural_fx.formats.pedal:FORMAT",
        "neural_fx.formats.nam:FORMAT",
        "neural_fx.formats.guitarml:FORMAT",
        "neural_fx.formats.rtneural:FORMAT",
        "neural_fx.formats.wavenetva:FORMAT",
    ),
)
"""All formats, in the order in which they are tried."""
