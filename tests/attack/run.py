"""Attack a worker for some minutes while two clients stream, and print what it cost.

    python -m tests.attack.run --minutes 10 --seed 1

Exit status 1 if anything is wrong afterwards: a port that does not answer, a block that was lost, threads,
descriptors or memory that did not come back, or a traceback in the log.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.attack.attacks import ATTACKS, Attacker, attack_until, perform
from tests.attack.worker import ROOT, Cost, Target, answers, attacked_worker

STEADY = ("steady", "calm")
SETTLING_SECONDS = 90
"""How long the worker may take to let go of everything: idle connections of attackers time out."""
SHARE = 0.05


def attack(folder: Path, minutes: float, seed: int = 1, settling: float = SETTLING_SECONDS) -> dict[str, Any]:
    """Attack a worker of its own, and return the figures.

    Args:
        folder: an empty one.
        minutes: of attacks.
        seed: of everything random.
        settling: seconds to wait, at most, until the worker holds no more than before.

    Returns:
        counts of what was sent, what the two clients saw, costs before and after, and ``problems``: sentences.
    """
    with attacked_worker(folder) as target:
        players = [_player(target, name) for name in STEADY]
        try:
            warm = Attacker(target, random.Random(seed))
            for each in ATTACKS:  # once each, so that whatever is made at first use is there before the measurement
                perform(warm, each)
            before = _settled(target, None, settling / 3)
            counts = attack_until(target, time.monotonic() + 60 * minutes, seed)
            problems = answers(target)
            after = _settled(target, before, settling)
        finally:
            streams = {name: _end(player) for name, player in zip(STEADY, players, strict=True)}
        problems += after.exceeds(before, SHARE)
        log = target.log.read_text(errors="replace")
    for name, seen in streams.items():
        if seen.get("lost", 1) or seen.get("wrong", 1) or seen.get("reconnects", 1):
            problems.append(f"{name} lost blocks: {seen}")
    if "Traceback" in log:
        problems.append(f"a traceback in the log:\n{log[log.index('Traceback') :][:2000]}")
    if any(ord(character) < 32 and character != "\n" for character in log):
        problems.append("control characters in the log")
    return {
        "sent": dict(counts),
        "streams": streams,
        "before": vars(before),
        "after": vars(after),
        "log_lines": log.count("\n"),
        "problems": problems,
    }


def _player(target: Target, board: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.attack.player", str(target.stream), board],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _end(player: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        out, err = player.communicate("", timeout=60)
    except subprocess.TimeoutExpired:
        player.kill()
        out, err = player.communicate()
    lines = out.strip().splitlines()
    return json.loads(lines[-1]) if lines else {"error": err[-2000:]}


def _settled(target: Target, before: Cost | None, seconds: float) -> Cost:
    """Wait until the worker's cost is what it was, or no longer falls; at most so many seconds."""
    limit = time.monotonic() + seconds
    cost, steady = Cost.of(target.process), 0
    while time.monotonic() < limit:
        time.sleep(1)
        now = Cost.of(target.process)
        steady = steady + 1 if (now.threads, now.descriptors) == (cost.threads, cost.descriptors) else 0
        cost = now
        if before is None and steady >= 10:
            break
        if before is not None and not cost.exceeds(before, SHARE):
            break
    return cost


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="neural-fx-attack-") as name:
        figures = attack(Path(name), options.minutes, options.seed)
    print(json.dumps(figures, indent=2))
    return bool(figures["problems"])


if __name__ == "__main__":
    sys.exit(main())
