"""Compare the device's numbers with the CPU engine's, for every architecture, and run the engine's own tests on it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demos.gpu.context import FRAMES, RATE, Context, Subject, guitar, inputs, subject, subjects
from neural_fx.blocks import SEGMENT
from neural_fx.engines import open_engine
from neural_fx.errors import NeuralFXError
from neural_fx.formats import read
from neural_fx.networks import largest
from neural_fx.pedals import PEDALS
from neural_fx.training.architectures import architectures, untrained

ROOT = Path(__file__).parents[2]
TESTS = ("tests/neural_fx/test_batched.py", "tests/bridge/test_devices.py")
"""Tests that run on the device, with `NEURAL_FX_TEST_DEVICE` set to it."""
TEST_SHARE = 0.6
"""Largest share of the part's time for the tests."""


def measure(context: Context) -> None:
    """Record the ESR of every network to the CPU engine, then how the tests went."""
    audio = guitar(context.gathered, RATE // 4 if context.short else 3 * RATE)
    for item in networks(context):
        if context.skip(3.0 + TEST_SHARE * context.seconds * (not context.short), name=item.name):
            break
        try:
            compare(context, item, audio)
        except (NeuralFXError, RuntimeError) as error:
            context.emit(name=item.name, error=str(error).splitlines()[0])
    if not context.short:  # the short form runs in the test suite, beside the same tests
        run_tests(context)


def networks(context: Context) -> Iterator[Subject]:
    """Yield the subjects of the measurement, the architectures that can be trained, the pedals and gathered files."""
    yield from subjects(context.gathered).values()
    for name in ("a1-nano", "lstm") if context.short else architectures():
        yield subject(f"untrained {name}", untrained(name), RATE // 2 if name == "lstm" else None)
    if context.short:
        return
    for name, pedal in PEDALS.items():
        capture = pedal.file()
        yield subject(name, capture.network, capture.prewarm)
    for file in sorted((context.gathered / "models").rglob("*.*")):
        if file.suffix in (".nam", ".json"):
            capture = read(file)
            yield subject(file.stem, largest(capture.network), capture.prewarm)


def compare(context: Context, item: Subject, audio: NDArray[np.float32]) -> None:
    """Record the ESR of a network in live blocks with moving knobs, and in one long call that is cut into pieces.

    Live blocks are also compared with torch on the CPU, because the compiled engine rounds differently.

    Args:
        context: the running part.
        item: the network.
        audio: (samples,).
    """
    live = inputs(item, audio[: len(audio) // 4 // FRAMES * FRAMES], 1)
    turn = np.linspace(0.5, 0.9, live.shape[2] // 3, dtype=np.float32)
    live[:, 1:, -len(turn) :] = turn
    whole = inputs(item, audio, 1)
    device = "batched" if context.device == "cpu" else context.device
    blocks = played(item, device, live, FRAMES)
    context.emit(
        name=item.name,
        kind=type(item.network).__name__,
        pieces=whole.shape[2] >= 2 * SEGMENT,
        esr_live=esr(played(item, "cpu", live, live.shape[2]), blocks),
        esr_reference=esr(played(item, "torch", live, live.shape[2]), blocks),
        esr_offline=esr(played(item, "cpu", whole, whole.shape[2]), played(item, device, whole, whole.shape[2])),
    )


def esr(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Return the energy of the difference over the energy of the wanted output, or the former if the latter is 0."""
    power = float(np.sum(wanted.astype(np.float64) ** 2))
    error = float(np.sum((found.astype(np.float64) - wanted) ** 2))
    return error / power if power else error


def played(item: Subject, device: str, x: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return the output of one stream on a device.

    Args:
        item: the network.
        device: device of the engine.
        x: input, (1, in_channels, samples).
        size: samples of a block.

    Returns:
        (1, out_channels, samples).
    """
    stream = open_engine(item.network, device, RATE).stream(1)
    stream.reset(item.prewarm, item.controls)
    blocks = [stream.process(x[:, :, start : start + size]) for start in range(0, x.shape[2], size)]
    return np.concatenate(blocks, 2)


def run_tests(context: Context) -> None:
    """Run the batched engine's tests on the device and record the counts and the names of those that failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *TESTS, "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        environment = {**os.environ, "NEURAL_FX_TEST_DEVICE": context.device}
        limit = max(1.0, context.left - 5)
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, timeout=limit, capture_output=True, text=True, check=False
            )
        except subprocess.TimeoutExpired:
            context.emit(what="tests", error=f"stopped after {limit:.0f} s")
            return
        context.emit(what="tests", **counts(report, done.stdout + done.stderr))


def counts(report: Path, output: str) -> dict[str, object]:
    """Return how many tests passed, failed and were skipped, from pytest's report, and which failed and why.

    Args:
        report: the JUnit XML file.
        output: output of pytest, whose end is returned if there is no report.
    """
    if not report.is_file():
        return {"error": output[-2000:]}
    found: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in ElementTree.parse(report).iter("testcase"):
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        name = f"{case.get('classname')}::{case.get('name')}"
        if problem is not None:
            found["failed"].append(f"{name}: {(problem.get('message') or '')[:300]}")
        else:
            found["skipped" if case.find("skipped") is not None else "passed"].append(name)
    return {**{kind: len(names) for kind, names in found.items()}, "failures": found["failed"]}
