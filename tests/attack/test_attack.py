"""The short form of the attacks; `python -m tests.attack.run` is the long one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.attack.run import attack


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes, links and process costs as POSIX has them")
@pytest.mark.timeout(900)
def test_a_minute_of_attacks(tmp_path: Path) -> None:
    """Every port answers, no block of either stream is lost, and everything held is let go of."""
    figures = attack(tmp_path, minutes=1)
    print(json.dumps(figures, indent=2))
    assert figures["problems"] == []
    assert all(seen["blocks"] > 1000 for seen in figures["streams"].values())
    assert figures["sent"]["datagrams"] > 1000
    assert figures["sent"]["connections"] > 100
