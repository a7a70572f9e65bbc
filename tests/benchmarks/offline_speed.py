"""How fast the engine runs, in multiples of real time, on one core; offline and block by block.

    python tests/benchmarks/offline_speed.py [MODEL.nam ...]

Each model runs in the compiled engine and in torch.

Runs are alternated between the models; the table gives medians over the rounds. Not a test: no figure is asserted.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

import neural_fx
from neural_fx.pedals import DATA

RATE, SECONDS, ROUNDS = 48000, 5, 5
BLOCKS = (None, 8192, 1024, 256, 64)


def once(processor: neural_fx.NeuralProcessor, x: np.ndarray, block: int | None) -> float:
    """Seconds of audio per second of wall time."""
    size = block or 8192
    processor.reset()
    processor.process(x[:size], RATE, size, reset=False)
    began = time.perf_counter()
    if block is None:
        processor.process(x, RATE, reset=False)
        return len(x) / RATE / (time.perf_counter() - began)
    count = min(len(x), 400 * block) // block
    for i in range(count):
        processor.process(x[i * block : (i + 1) * block], RATE, block, reset=False)
    return count * block / RATE / (time.perf_counter() - began)


def main() -> None:
    paths = [Path(p) for p in sys.argv[1:]] or [DATA / "klon-gain-stage.nam"]
    processors = {
        f"{path.stem} ({device})": neural_fx.load(path, device=device) for path in paths for device in ("cpu", "torch")
    }
    x = (np.random.default_rng(0).standard_normal(RATE * SECONDS) * 0.1).astype(np.float32)
    found: dict[tuple[str, int | None], list[float]] = {}
    for _ in range(ROUNDS):
        for name, processor in processors.items():
            for block in BLOCKS:
                found.setdefault((name, block), []).append(once(processor, x, block))
    print(f"{platform.processor() or platform.machine()}, one thread, median of {ROUNDS}, x real time")
    print("| model | offline | " + " | ".join(f"block {b}" for b in BLOCKS[1:]) + " |")
    print("|---" * (len(BLOCKS) + 1) + "|")
    for name in processors:
        row = [f"{statistics.median(found[name, block]):.1f}" for block in BLOCKS]
        print(f"| {name} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
