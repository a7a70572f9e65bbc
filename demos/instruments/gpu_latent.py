"""Train all variants of `latent_variants.py` side by side for some seconds, and measure each.

    OUT=build/latent/out python demos/instruments/gpu_latent.py build/latent/frames.npz --seconds 280

Each variant is a process. Options that are not listed are those of `train_latent.py`. The networks are in
`$OUT/NAME.safetensors`, and are replaced every 20 seconds. Reports and measures are printed as lines of JSON. Only
needs torch, numpy and what `import instruments` needs, and no network.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEASURING_SECONDS = 15.0
KILL_SECONDS = 20.0
VARIANTS = ("shifted", "mixed", "large")


def main() -> int:
    """Run the variants, and return 0 if all have ended well."""
    began = time.time()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path, help="file of pack_frames.py")
    parser.add_argument("--seconds", type=float, default=280.0, help="from now until everything is over")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="separated by commas")
    parser.add_argument("--threads", type=int, default=2, help="of each variant")
    options, rest = parser.parse_known_args()
    out = Path(os.environ.get("OUT", "build/latent/out"))
    out.mkdir(parents=True, exist_ok=True)
    until = began + options.seconds - MEASURING_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        running = {
            name: subprocess.Popen([*_command(name, options, out, Path(folder), until), *rest], cwd=ROOT)
            for name in options.variants.split(",")
        }
        for process in running.values():
            try:
                process.wait(max(began + options.seconds + KILL_SECONDS - time.time(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return max((abs(process.returncode) for process in running.values()), default=0)


def _command(name: str, options: argparse.Namespace, out: Path, folder: Path, until: float) -> list[str]:
    """Return the command that trains a variant."""
    values = {
        "--out": out / f"{name}.safetensors",
        "--frames": options.frames.resolve(),
        "--checkpoint": folder / f"{name}.pt",
        "--variant": name,
        "--threads": options.threads,
        "--until": until,
    }
    words = [str(word) for pair in values.items() for word in pair]
    return [
        sys.executable,
        str(ROOT / "demos/instruments/train_latent.py"),
        *words,
        "--measure",
        "--json",
    ]


if __name__ == "__main__":
    sys.exit(main())
