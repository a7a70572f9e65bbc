"""Measure the GPU worker: run every part in a process of its own with a time limit, and write results at once.

    python -m demos.gpu.measure --device cuda --out build/gpu        # at most seven minutes
    python -m demos.gpu.measure --short --out build/gpu              # a rehearsal on the CPU, about a minute

Writes `results.jsonl`, `gpu.md` (a page made from it) and `log.txt` (the output of the parts).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from demos.gpu.context import GATHERED, Context, append
from demos.gpu.page import page, records
from neural_fx.placement import DeviceError, check_device

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Part:
    """A part of the measurement.

    Attributes:
        name: name of its module in this folder.
        seconds: time limit in a full run.
    """

    name: str
    seconds: float


PARTS = (
    Part("ceilings", 20),
    Part("equality", 85),
    Part("offline", 85),
    Part("live", 130),
    Part("one_core", 22),
    Part("kernels", 28),
    Part("voices", 32),
)
"""All parts, the most important first, because a late start may leave no time for the last ones."""
SHORT_SECONDS = 60.0
"""Time limit of a part in the short form, on a machine that may be busy."""
FULL_SECONDS = 430.0
"""Time limit of all parts together, from the start of the run, including the setup."""
KILL_SECONDS = 3.0
"""Seconds between a part's own limit, after which it starts nothing new, and its end by a signal."""


def main() -> int:
    """Run all parts, or one of them in this process, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default=None, help="cuda, or cpu to rehearse (default: cuda if there is one)")
    parser.add_argument("--short", action="store_true", help="measure a little of everything, to check that it works")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="folder for the results")
    parser.add_argument("--gathered", type=Path, default=GATHERED, help="folder of models and audio")
    parser.add_argument("--parts", default="", help="only these parts, separated by commas")
    parser.add_argument(
        "--limit", type=float, default=FULL_SECONDS, help="time limit of all parts together, in seconds"
    )
    parser.add_argument("--began", type=float, default=None, help="when the run began, in seconds since 1970")
    parser.add_argument("--part", default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        options.device = check_device(options.device or default_device())
    except DeviceError as error:
        parser.error(str(error))
    known = [part.name for part in PARTS]
    wanted = [name for name in options.parts.split(",") if name] or known
    unknown = sorted({*wanted, *([options.part] if options.part else [])} - set(known))
    if unknown:
        parser.error(f"unknown part {', '.join(unknown)}; known: {', '.join(known)}")
    if options.part:
        measure_here(options)
        return 0
    return run(options, [part for part in PARTS if part.name in wanted])


def default_device() -> str:
    """Return ``cuda`` if torch finds a GPU, otherwise ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def measure_here(options: argparse.Namespace) -> None:
    """Run one part in this process."""
    import torch

    if options.device == "cpu":
        torch.set_num_threads(1)  # on a busy machine, waiting for a second thread is slower than one thread
    results = options.out / "results.jsonl"
    context = Context(options.device, options.short, options.limit, results, options.part, options.gathered)
    importlib.import_module(f"demos.gpu.{options.part}").measure(context)


def run(options: argparse.Namespace, parts: list[Part]) -> int:
    """Run parts one after the other, and return 1 if one failed or was stopped, otherwise 0."""
    exit_on_sigterm()
    results = options.out / "results.jsonl"
    results.unlink(missing_ok=True)
    began = options.began or time.time()
    append(results, {"part": "machine", **machine(options.device, options.short, options.gathered)})
    well = True
    for part in parts:
        seconds = SHORT_SECONDS if options.short else part.seconds
        left = options.limit - (time.time() - began)
        found = run_part(options, part, min(seconds, left - KILL_SECONDS))
        well = well and found["status"] == "ok"
        append(results, {"part": part.name, **found})
        print(f"{part.name}: {found['status']} after {found['seconds']} s", flush=True)
        if found["status"] != "ok":
            print(found["error"], flush=True)
        write_page(options.out, results)
    print(f"results in {options.out}, {time.time() - began:.0f} s in all", flush=True)
    return 0 if well else 1


def write_page(out: Path, results: Path) -> None:
    """Write the page of the results so far. A fault in it must not stop the measurement, so it is only printed."""
    try:
        (out / "gpu.md").write_text(page(records(results)), encoding="utf-8")
    except Exception as error:
        print(f"the page could not be written: {error!r}", flush=True)


def run_part(options: argparse.Namespace, part: Part, seconds: float) -> dict[str, Any]:
    """Run one part in a process of its own.

    Args:
        options: options of this command.
        part: the part.
        seconds: its time limit.

    Returns:
        Its status and its seconds, and the end of its output if it did not succeed.
    """
    if seconds < 5:
        return {"status": "left out", "seconds": 0.0, "error": "no time was left"}
    command = [sys.executable, "-m", "demos.gpu.measure", "--part", part.name, "--device", options.device]
    command += ["--out", str(options.out.resolve()), "--gathered", str(options.gathered.resolve())]
    command += ["--limit", str(seconds), *(["--short"] if options.short else [])]
    with (options.out / "log.txt").open("a+", encoding="utf-8") as log:
        log.write(f"== {part.name}\n")
        return watched(command, seconds + KILL_SECONDS, log)


def watched(command: list[str], seconds: float, log: TextIO) -> dict[str, Any]:
    """Run a command, and end it and its child processes at a time limit.

    Args:
        command: the command, which runs in the repository's root.
        seconds: time limit.
        log: file for the command's output, open for appending and reading.

    Returns:
        Its status and its seconds, and the end of its output if it did not succeed.
    """
    began = time.monotonic()
    log.flush()
    from_here = log.seek(0, os.SEEK_END)
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        code: int | None = process.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        stop(process)
    log.seek(from_here)
    printed = log.read()
    taken = round(time.monotonic() - began, 1)
    if code == 0:
        return {"status": "ok", "seconds": taken}
    status = "stopped at its limit" if code is None else f"failed with exit status {code}"
    return {"status": status, "seconds": taken, "error": printed[-2000:]}


def exit_on_sigterm() -> None:
    """Raise `SystemExit` on SIGTERM, so that the running part, which is in a session of its own, is ended too."""

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a part and every process that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def machine(device: str, short: bool, gathered: Path) -> dict[str, Any]:
    """Return a description of the machine and of what is measured.

    Args:
        device: device of torch.
        short: whether this is the short form.
        gathered: folder of models and audio.
    """
    import torch

    from neural_fx.bench import cpu_name, revision
    from neural_fx.engines import cpu

    manifest = gathered / "manifest.json"
    found = revision()
    if manifest.is_file() and not (ROOT / ".git").exists():
        found = f"{json.loads(manifest.read_text(encoding='utf-8'))['revision']} (when it was gathered)"
    values: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "revision": found,
        "device": device,
        "short": short,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "compiled": cpu.instruction_set() if cpu.available() else None,
    }
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        values["gpu"] = properties.name
        values["gpu_gib"] = round(properties.total_memory / 2**30, 1)
        values["multiprocessors"] = properties.multi_processor_count
        values["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return values


if __name__ == "__main__":
    sys.exit(main())
