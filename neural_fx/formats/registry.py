"""The formats' registry: what a model format says of itself, and the content that it looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from neural_fx.errors import ModelError
from neural_fx.formats.capture import Capture
from neural_fx.formats.reader import Node, parse_json
from neural_fx.registry import Registry


class Content:
    """The bytes of a model file, and what they are as JSON.

    Args:
        data: the whole file.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.problem: ModelError | None = None

    @cached_property
    def json(self) -> object:
        """The JSON value; None if the file is not JSON, and then `problem` says why."""
        try:
            return parse_json(self.data)
        except ModelError as error:
            self.problem = error
            return None

    @property
    def root(self) -> Node:
        """The JSON value as a `Node`, which checks what is taken out of it."""
        return Node(self.json)

    def has_keys(self, *keys: str) -> bool:
        """Return whether the file is a JSON object that has all these keys."""
        return isinstance(self.json, dict) and all(key in self.json for key in keys)


@dataclass(frozen=True)
class Format:
    """A format of model files.

    Attributes:
        name: as error messages list it, such as ``GuitarML``.
        matches: whether a file looks like this format. It is asked of every file, so it looks at little and never
            raises.
        read: makes a capture of a file that matches. It raises `ModelError`, with the field that is wrong.
        suffixes: usual endings of file names, for lists and file dialogs. The content decides what a file is.
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
"""All formats, in the order in which they are asked."""
