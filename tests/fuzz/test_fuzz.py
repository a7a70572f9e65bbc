"""The short form of the fuzz runs; `python -m tests.fuzz.run` is the long one."""

from __future__ import annotations

import pytest

from tests.conftest import SHARED
from tests.fuzz.run import COMMANDS, run_all

RUNS = {"render": 60, "play": 20, "analyze": 20, "train": 8}
FIRST = 10_000


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_random_and_damaged_input_gets_a_clear_answer(command: str) -> None:
    shared = SHARED.resolve() if (SHARED / "models").is_dir() else None
    for _, seed, outcome in run_all([(command, FIRST + i) for i in range(RUNS[command])], shared):
        assert not outcome.problem, f"seed {seed}: {outcome.problem}\n{outcome.arguments}\n{outcome.output}"
