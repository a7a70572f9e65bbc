"""The short form of the fuzz runs; `python -m tests.fuzz.run` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.fuzz.run import COMMANDS, attempt

RUNS = {"render": 60, "play": 20, "analyze": 20, "train": 8}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_random_and_damaged_input_gets_a_clear_answer(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = SHARED.resolve() if (SHARED / "models").is_dir() else None
    monkeypatch.chdir(Path(__file__).parents[2])
    for seed in range(RUNS[command]):
        outcome = attempt(command, 10_000 + seed, shared)
        assert not outcome.problem, f"seed {10_000 + seed}: {outcome.problem}\n{outcome.arguments}\n{outcome.output}"
