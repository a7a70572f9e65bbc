"""Read untrusted JSON, bounded in size and depth.

Model files come from strangers, so every value is checked. A `Node` is a JSON value with its path in the file. Its
methods return the value as an integer, a list and so on. They raise a `ModelError` if it is of another kind. The error
names the path, what was found and what was expected.

`Weights` splits a flat list of numbers into arrays, and counts how many numbers a config needs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from neural_fx.arrays import Array
from neural_fx.errors import ModelError
from neural_fx.networks import Conv

MAX_BYTES = 8 * 2**20
"""Largest model file. Captures in circulation are under 3 MB, and hostile JSON takes 40 times its size in memory."""
MAX_LAYERS = 1024
MAX_CHANNELS = 4096
MAX_KERNEL = 2**20
MAX_DILATION = 2**20
MAX_DEPTH = 8
MAX_HISTORY = 2**24
"""The most floats of past signal that a network may keep for one stream: 64 MB."""


def parse_json(data: bytes) -> object:
    """Parse JSON.

    Args:
        data: UTF-8 text.

    Returns:
        The JSON value.

    Raises:
        ModelError: not UTF-8 JSON, over `MAX_BYTES`, nested too deeply, or with NaN or infinite numbers.
    """
    if len(data) > MAX_BYTES:
        raise ModelError(f"is {len(data) / 2**20:.1f} MB; model files here are at most {MAX_BYTES // 2**20} MB")

    def refuse(name: str) -> NoReturn:
        raise ModelError(f"contains {name}, which is not a number a model can use")

    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=refuse)
    except RecursionError:
        raise ModelError("is nested too deeply to be a model") from None
    except UnicodeDecodeError as error:
        raise ModelError(f"is not text (byte {error.start} is not UTF-8)") from None
    except ModelError:
        raise
    except ValueError as error:
        raise ModelError(f"is not valid JSON: {error}") from None


def describe(value: object) -> str:
    """Return a short description of a value, for error messages."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


class Node:
    """A JSON value and its path in the file.

    Args:
        value: any JSON value.
        path: such as ``config.layers[0].channels``; empty for the whole file.
    """

    __slots__ = ("path", "value")

    def __init__(self, value: object, path: str = "") -> None:
        self.value, self.path = value, path

    def fail(self, expected: str) -> NoReturn:
        """Raise an error that names this field, its value and what was expected.

        Args:
            expected: such as ``a string``.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"expected {expected}, found {describe(self.value)}", self.path)

    # -- objects -------------------------------------------------------------------------------------------------

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def __getitem__(self, key: str) -> Node:
        """Return the field `key`.

        Raises:
            ModelError: it is missing or null, or this value is not an object.
        """
        mapping = self.mapping()
        child = Node(mapping.get(key), f"{self.path}.{key}" if self.path else key)
        if child.value is None:
            raise ModelError("missing" if key not in mapping else "is null", child.path)
        return child

    def get(self, key: str) -> Node | None:
        """Return the field `key`, or None if it is missing or null."""
        return self[key] if key in self else None

    def mapping(self) -> dict[str, Any]:
        """Return the value as an object."""
        if not isinstance(self.value, dict):
            self.fail("an object")
        return self.value

    # -- values --------------------------------------------------------------------------------------------------

    def integer(self, low: int = 0, high: int = MAX_CHANNELS) -> int:
        """Return the value as an integer in [low, high]. Floats such as 2.0 are accepted, booleans are not."""
        value = self.value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.fail(f"an integer from {low} to {high}")
        return value

    def number(self, low: float = -1e30, high: float = 1e30) -> float:
        """Return the value as a finite float in [low, high]."""
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            self.fail("a number")
        if not low <= self.value <= high:
            self.fail(f"a number from {low:g} to {high:g}")
        return float(self.value)

    def boolean(self) -> bool:
        """Return the value as a boolean. 0 and 1 are accepted."""
        if self.value not in (True, False):
            self.fail("true or false")
        return bool(self.value)

    def string(self) -> str:
        """Return the value as a string."""
        if not isinstance(self.value, str):
            self.fail("a string")
        return self.value

    def choice(self, *names: str) -> str:
        """Return the value, which must be one of the given strings."""
        if self.value not in names:
            self.fail("one of " + ", ".join(names))
        return str(self.value)

    # -- lists ---------------------------------------------------------------------------------------------------

    def items(self, most: int = MAX_LAYERS, least: int = 0) -> list[Node]:
        """Return the entries of a list, each with its path.

        Args:
            most: the largest length that is accepted.
            least: the smallest length that is accepted.
        """
        if not isinstance(self.value, list):
            self.fail("a list")
        if not least <= len(self.value) <= most:
            self.fail(f"a list of {least} to {most} entries")
        return [Node(v, f"{self.path}[{i}]") for i, v in enumerate(self.value)]

    def per_layer(self, count: int) -> list[Node]:
        """Return one entry for each of `count` layers. The value is a list of that length, or one value for all."""
        if not isinstance(self.value, list):
            return [self] * count
        if len(self.value) != count:
            self.fail(f"one value, or a list of {count} (one per layer)")
        return self.items()

    def integers(self, low: int, high: int, most: int = MAX_LAYERS) -> list[int]:
        """Return the entries of a list as integers.

        Args:
            low: the smallest value that is accepted.
            high: the largest value that is accepted.
            most: the largest length that is accepted. The smallest is 1.
        """
        return [n.integer(low, high) for n in self.items(most, 1)]

    def floats(self, shape: Sequence[int] | None = None, *, strings: bool = False) -> Array:
        """Return a list of finite numbers, nested or flat, as a float32 array.

        Args:
            shape: that the list must have. None stands for a flat list of any length.
            strings: also accept numbers written as strings, as in PedalNetRT files.
        """
        flat: list[Any] = []
        found = _flatten(self.value, flat, len(shape) if shape is not None else 1)
        if found is None or (shape is not None and found != tuple(shape)):
            self.fail("a list of numbers" + (f" of shape {'x'.join(map(str, shape))}" if shape is not None else ""))
        kinds = (int, float, str) if strings else (int, float)
        if any(type(v) not in kinds for v in flat):
            bad = next(v for v in flat if type(v) not in kinds)
            raise ModelError(f"expected numbers only, found {describe(bad)}", self.path)
        try:
            array = np.asarray([float(v) for v in flat], np.float64)
        except (ValueError, OverflowError):
            raise ModelError("expected finite numbers only", self.path) from None
        # Written with `not`, so that NaN is refused, too.
        if array.size and not np.abs(array).max() < 3e38:
            raise ModelError("expected finite numbers that fit 32-bit floats", self.path)
        return array.astype(np.float32).reshape(found)


def count_numbers(value: object) -> int:
    """Return how many numbers a JSON value holds, at any depth."""
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(count_numbers, value)) if isinstance(value, list) else 1


def _flatten(value: object, into: list[Any], depth: int) -> tuple[int, ...] | None:
    """Append the leaves of a nested list to `into`.

    Returns:
        The shape of the list, or None if it is ragged or not a list.
    """
    if not isinstance(value, list):
        return None
    if depth == 1:
        into.extend(value)
        return (len(value),)
    inner: tuple[int, ...] | None = None
    for item in value:
        shape = _flatten(item, into, depth - 1)
        if shape is None or (inner is not None and shape != inner):
            return None
        inner = shape
    return (len(value), *(inner if inner is not None else (0,) * (depth - 1)))


class Weights:
    """A flat list of weights, taken in file order.

    Past the end, `take` returns zeros and goes on counting. So `done`, which must be called last, can say exactly how
    many numbers the config needs.

    Args:
        values: (numbers,), all weights of the file.
        path: of the list in the file, for errors.
    """

    def __init__(self, values: Array, path: str) -> None:
        self.values, self.path, self.used = values, path, 0

    def take(self, *shape: int) -> Array:
        """Return the next numbers, in the given shape."""
        size = math.prod(shape)
        start, self.used = self.used, self.used + size
        if self.used > len(self.values):
            return np.broadcast_to(np.float32(0), shape)
        return self.values[start : self.used].reshape(shape)

    def conv(self, out: int, into: int, taps: int = 1, *, bias: bool, dilation: int = 1, groups: int = 1) -> Conv:
        """Return the next convolution: its weight in torch's layout, then its bias.

        Args:
            out: output channels.
            into: input channels.
            taps: length of the kernel.
            bias: whether the file has a bias.
            dilation: samples between taps.
            groups: number of groups. Both channel counts must be multiples of it.

        Raises:
            ModelError: the channels cannot be split into the groups.
        """
        if out % groups or into % groups:
            raise ModelError(f"{into} to {out} channels cannot be split into {groups} groups", self.path)
        weight = self.take(out, into // groups, taps)
        return Conv(weight, self.take(out) if bias else None, dilation, groups)

    def done(self) -> None:
        """Raise if the config needs more or fewer numbers than the file has.

        Raises:
            ModelError: states both numbers.
        """
        if self.used != len(self.values):
            raise ModelError(f"the config needs {self.used} numbers, found {len(self.values)}", self.path)
