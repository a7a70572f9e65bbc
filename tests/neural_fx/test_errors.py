"""Errors: each has a reason in words, on one line."""

from __future__ import annotations

import errno

import pytest

from neural_fx.errors import reason


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EOFError(), "EOFError"),
        (OSError(errno.ENOSPC, "No space left on device", "x.wav"), "No space left on device"),
        (OSError("no device"), "no device"),
        (ValueError("two\n  lines"), "two lines"),
        (ValueError(" "), "ValueError"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_reason_is_never_empty_and_one_line(error: Exception, text: str) -> None:
    assert reason(error) == text
