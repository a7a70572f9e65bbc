"""Numbers as people give them: attributes, text from a command line or a file, numpy scalars, OSC arguments."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from itertools import islice
from numbers import Complex, Real
from typing import SupportsFloat

import numpy as np

from neural_fx.errors import ParameterError, ParameterTypeError

MOST_COMPARED = 500
"""Names that a misspelled one is compared with: a comparison takes about 50 us, and a large board has thousands."""
LONGEST_SHOWN = 60
"""Characters of a refused value that an error message quotes at most."""

SWITCH_WORDS = {"on": 1.0, "yes": 1.0, "true": 1.0, "off": 0.0, "no": 0.0, "false": 0.0}
"""What people write for a switch, in any case."""


def shown(value: object) -> str:
    """Return a value as an error message quotes it: short, on one line, "nothing" for None."""
    if value is None:
        return "nothing"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of more than 4300 digits, or an object whose repr is broken
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return `` (did you mean 'NEAREST'?)`` for a misspelled name, "" where no name is near.

    Args:
        name: what was written.
        names: what there is; the first `MOST_COMPARED` count.
    """
    folded = {known.casefold(): known for known in islice(names, MOST_COMPARED)}
    near = difflib.get_close_matches(name[:256].casefold(), folded, 1)
    return f" (did you mean {folded[near[0]]!r}?)" if near else ""


def finite_number(value: object, name: str, text: bool = True) -> float:
    """Convert a value to a finite float.

    Args:
        value: a number of any kind, an array of no dimensions, or text such as ``0.5`` or ``1e3``.
        name: what the number is for, to begin the error message with.
        text: whether text is allowed.

    Returns:
        The value as a float.

    Raises:
        ParameterTypeError: the value is no number: a boolean, a complex number, None, a list.
        ParameterError: it is text that is no number, or NaN, infinite, or beyond the largest float.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if text and isinstance(value, str):
        number = _text_as_number(value, name)
    elif _is_real(value):
        number = _as_float(value, name)
    else:
        raise ParameterTypeError(f"{name}: expected a number, found {shown(value)}")
    if not math.isfinite(number):
        raise ParameterError(f"{name}: expected a finite number, found {shown(value)}")
    return number


def is_finite_number(value: object) -> bool:
    """Return whether `finite_number` converts a value."""
    try:
        finite_number(value, "")
    except ParameterError:
        return False
    return True


def whole_number(value: object, name: str, least: int = 1) -> int:
    """Convert a value to an integer of at least `least`.

    Args:
        value: a number of any kind, as for `finite_number`; no text.
        name: what the number is for, to begin the error message with.
        least: the smallest that is allowed.

    Raises:
        ParameterTypeError: the value is no number.
        ParameterError: it is not finite, has a fraction, or is too small.
    """
    number = finite_number(value, name, text=False)
    if number != int(number) or number < least:
        raise ParameterError(f"{name}: expected a whole number of at least {least}, found {shown(value)}")
    return int(number)


def positive_number(value: object, name: str) -> float:
    """Convert a value to a finite float above 0.

    Args:
        value: a number of any kind, as for `finite_number`; no text.
        name: what the number is for, to begin the error message with.

    Raises:
        ParameterTypeError: the value is no number.
        ParameterError: it is not finite or not above 0.
    """
    number = finite_number(value, name, text=False)
    if number <= 0:
        raise ParameterError(f"{name}: expected a number above 0, found {shown(value)}")
    return number


def between(low: float, high: float, share: float) -> float:
    """Return the number at a share of the way from `low` to `high`, never beyond either by a rounding error."""
    if share >= 1:
        return high
    return low + share * (high - low)


def switch(value: object) -> float | None:
    """Return 1.0 or 0.0 for a boolean or one of `SWITCH_WORDS`, None for anything else."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)):
        return float(value)
    return SWITCH_WORDS.get(value.strip().lower()) if isinstance(value, str) else None


def _is_real(value: object) -> bool:
    if isinstance(value, (bool, np.bool_, np.ndarray, bytes, bytearray, np.timedelta64)):
        return False
    if isinstance(value, Complex):  # numpy's scalars are registered as these, too
        return isinstance(value, Real)
    return isinstance(value, SupportsFloat)


def _as_float(value: object, name: str) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ParameterError(f"{name}: expected a number that fits a float, found {shown(value)}") from None
    except (TypeError, ValueError, RuntimeError):  # a signalling NaN, a tensor of several numbers
        raise ParameterTypeError(f"{name}: expected a number, found {shown(value)}") from None


def _text_as_number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        if not text.strip():
            raise ParameterError(f"{name}: expected a number, found nothing") from None
        raise ParameterError(f"{name}: expected a number, found {shown(text)}") from None
