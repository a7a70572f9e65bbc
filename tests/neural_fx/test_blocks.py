"""Every block size has its reason beside it, and the sizes fit each other."""

from __future__ import annotations

import ast
from pathlib import Path

from neural_fx import blocks
from neural_fx.timbre.analysis import HOP


def test_every_number_has_a_reason() -> None:
    body = ast.parse(Path(blocks.__file__).read_text(encoding="utf-8")).body
    reasons = 0
    for number, statement in enumerate(body):
        if isinstance(statement, ast.Assign):
            reason = body[number + 1]
            assert isinstance(reason, ast.Expr), ast.unparse(statement)
            assert isinstance(reason.value, ast.Constant), ast.unparse(statement)
            assert len(str(reason.value.value).split()) > 5
            reasons += 1
    assert reasons > 20


def test_sizes_fit_each_other() -> None:
    assert blocks.RENDER_BLOCK % blocks.BUFFER_SIZE == 0  # so a render has the blocks of one long call
    assert blocks.GPU_RENDER_BLOCK % blocks.SEGMENT == 0
    assert blocks.GPU_RENDER_BLOCK >= blocks.OFFLINE  # so it runs as a batch of segments
    assert blocks.SEGMENT % blocks.TORCH_BLOCK == 0
    assert blocks.FLUSH_BLOCK <= blocks.BUFFER_SIZE
    assert blocks.CONTROL_STEP == HOP  # bends of an instrument move with the frames of its timbre
