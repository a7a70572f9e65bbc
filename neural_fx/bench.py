"""Measure how fast captures run on this machine.

It measures the speed in multiples of real time, the time of a block, and the fraction of the core's multiply-add peak.
Where a test counts allocations, it reports them, too. All engines take turns in one process, round by round, so that
changes of the machine's load affect all of them equally.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from neural_fx import __version__
from neural_fx.arrays import Array
from neural_fx.engines import cpu
from neural_fx.errors import NeuralFXError
from neural_fx.formats import Capture, read
from neural_fx.networks import Network, kind_of, largest
from neural_fx.neural import NeuralProcessor

INSTRUCTION_SETS = ("avx512", "avx2", "sse2")
RIVALS = ("fast", *INSTRUCTION_SETS, "torch", "neural-amp-modeler")


@dataclass(frozen=True)
class Measurement:
    """One model in one engine at one block size.

    Attributes:
        model: name of the file.
        engine: such as ``compiled`` or ``torch``.
        block: samples; 0 for all audio in one call.
        sample_rate: Hz at which the model runs.
        realtime: median, minimum and maximum speed of the rounds, in multiples of real time, on one thread.
        block_us: p50, p99 and longest time of a block, in microseconds.
        allocations: inside the compiled kernels where a test counts them; otherwise None.
        peak_share: fraction of the core's measured multiply-add peak; None for other engines than the compiled one.
        streams: how many streams of the model one core can play at the median speed.
    """

    model: str
    engine: str
    block: int
    sample_rate: float
    realtime: tuple[float, float, float]
    block_us: tuple[float, float, float]
    allocations: int | None
    peak_share: float | None
    streams: int

    def as_dict(self) -> dict[str, Any]:
        """Return a dict for JSON, with the revision and the CPU of the measurement."""
        return {"revision": revision(), "cpu": cpu_name(), "instruction_set": _instructions(), **asdict(self)}


Play = Callable[[Array], object]


@dataclass(frozen=True)
class _Subject:
    model: str
    engine: str
    capture: Capture
    play: Play
    allocations: Callable[[], int | None]


def bench(
    paths: Iterable[str | Path],
    blocks: Iterable[int] = (64, 256, 1024),
    seconds: float = 2.0,
    rounds: int = 5,
    rivals: Iterable[str] = (),
    progress: Callable[[float], None] = lambda fraction: None,
) -> list[Measurement]:
    """Measure captures in the engine that plays them, and in others to compare with.

    The `rivals` are:

    - ``fast``: the device ``cpu-fast``;
    - ``avx512``, ``avx2``, ``sse2``: the compiled engine with an older instruction set;
    - ``torch``: our own reference;
    - ``neural-amp-modeler``: the PyPI package. It keeps no state, so each block includes the receptive field before it.

    Args:
        paths: capture files.
        blocks: block sizes in samples. 0 stands for all audio in one call, which the engine cuts into blocks itself.
        seconds: of audio per model, block size and round. It is less if an engine is slower than real time.
        rounds: number of rounds.
        rivals: other engines to measure, from `RIVALS`.
        progress: called with the fraction that is done, 0..1.

    Raises:
        NeuralFXError: a rival is unknown or not installed.
        ModelError: a file is not a model.
    """
    subjects = [subject for path in paths for subject in _subjects(Path(path), list(rivals))]
    found: dict[tuple[int, int], list[list[float]]] = {}
    sizes = list(blocks)
    total, done = rounds * len(subjects) * len(sizes), 0
    for _ in range(rounds):
        for i, subject in enumerate(subjects):
            for size in sizes:
                found.setdefault((i, size), []).append(_round(subject, size, seconds))
                done += 1
                progress(done / total)
    peak = cpu.fma_peak() if cpu.available() else None
    return [_summary(subjects[i], size, times, peak, seconds) for (i, size), times in found.items()]


def _round(subject: _Subject, size: int, seconds: float) -> list[float]:
    """Return the seconds that each block took."""
    rate = subject.capture.sample_rate
    rng = np.random.default_rng(0)
    x = (0.1 * rng.standard_normal(max(size, int(rate * seconds)))).astype(np.float32)
    size = _samples(subject, size, seconds)
    times: list[float] = []
    subject.play(x[:size])
    for start in range(0, len(x) - size + 1, size):
        began = time.perf_counter()
        subject.play(x[start : start + size])
        times.append(time.perf_counter() - began)
        if len(times) >= 20 and sum(times) > seconds:
            break
    return times


def _samples(subject: _Subject, size: int, seconds: float) -> int:
    """Return the samples of a block. A size of 0 stands for all audio in one call."""
    return size or int(subject.capture.sample_rate * seconds)


def _summary(
    subject: _Subject, size: int, rounds: list[list[float]], peak: float | None, seconds: float
) -> Measurement:
    rate = subject.capture.sample_rate
    samples = _samples(subject, size, seconds)
    speeds = [samples * len(times) / rate / sum(times) for times in rounds]
    median = float(np.median(speeds))
    every = 1e6 * np.concatenate(rounds)
    ours = subject.engine.startswith("compiled") and peak is not None
    share = 2 * multiply_adds(subject.capture.network) * rate * median / (peak * 1e9) if ours and peak else None
    return Measurement(
        model=subject.model,
        engine=subject.engine,
        block=size,
        sample_rate=rate,
        realtime=(median, float(min(speeds)), float(max(speeds))),
        block_us=(float(np.median(every)), float(np.percentile(every, 99)), float(every.max())),
        allocations=subject.allocations(),
        peak_share=share,
        streams=int(median),
    )


def multiply_adds(network: Network) -> int:
    """Return the multiply-adds per sample: one for each weight. A slimmable network counts as its largest size."""
    return kind_of(network).multiply_adds(network)


# -- subjects ----------------------------------------------------------------------------------------------------


def _subjects(path: Path, rivals: list[str]) -> list[_Subject]:
    capture = read(path)
    subjects = [_ours(path, capture, "auto")]
    for rival in rivals:
        if rival not in RIVALS:
            raise NeuralFXError(f"unknown rival {rival!r}; known: {', '.join(RIVALS)}")
        if rival in INSTRUCTION_SETS:
            found = _with_instructions(path, capture, rival)
        else:
            ours = {"torch": "torch", "fast": "cpu-fast"}.get(rival)
            found = _ours(path, capture, ours) if ours else _peer(path, capture)
        if found is not None:
            subjects.append(found)
    return subjects


def _with_instructions(path: Path, capture: Capture, instruction_set: str) -> _Subject | None:
    """Return the compiled engine with an older instruction set, or None if it does not support the network."""
    network = largest(capture.network)
    if not cpu.supports(network):
        return None
    engine = cpu.CpuEngine(network, instruction_set)
    try:
        engine.stream(1)
    except ValueError as error:
        raise NeuralFXError(f"--vs {instruction_set}: {error}") from None
    return _ours(path, capture, "auto", engine)


def _ours(path: Path, capture: Capture, device: str, engine: cpu.CpuEngine | None = None) -> _Subject:
    processor = NeuralProcessor(capture, device=device)
    compiled = device != "torch" and cpu.supports(largest(capture.network))
    name = {"auto": "compiled", "cpu-fast": "compiled, fast"}[device] if compiled else "torch"
    if engine:
        sizes = processor._sizes
        sizes._engines[sizes.pick(1.0)] = engine
        name += f", {engine.instruction_set}"

    def play(block: Array) -> object:
        return processor.process(block, capture.sample_rate, len(block), reset=False)

    def allocations() -> int | None:
        player = processor._player
        return player.stream.allocations if player and isinstance(player.stream, cpu.CpuStream) else None

    return _Subject(path.stem, name, capture, play, allocations)


def _peer(path: Path, capture: Capture) -> _Subject | None:
    """Return the PyPI package as a subject, or None if it cannot load the file."""
    try:
        import torch
        from nam.models import init_from_nam
    except ImportError:
        raise NeuralFXError("neural-amp-modeler is not installed: pip install neural-amp-modeler") from None
    try:
        model = init_from_nam(json.loads(path.read_text(encoding="utf-8"))).eval()
    except Exception:  # its reader raises many kinds of errors on files that other readers accept
        return None
    past = np.zeros(capture.network.receptive_field - 1, np.float32)

    def play(block: Array) -> object:
        nonlocal past
        whole = np.concatenate((past, block))
        past = whole[len(whole) - len(past) :]
        with torch.inference_mode():
            return model(torch.from_numpy(whole), pad_start=False)

    return _Subject(path.stem, "neural-amp-modeler", capture, play, lambda: None)


# -- where it was measured ---------------------------------------------------------------------------------------


@cache
def revision() -> str:
    """Return the git revision of this source tree, or else the package's version."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return __version__


@cache
def cpu_name() -> str:
    """Return the name of the processor, as the system reports it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _instructions() -> str | None:
    return cpu.instruction_set() if cpu.available() else None


def markdown(measurements: Iterable[Measurement]) -> str:
    """Return measurements as a Markdown table."""
    found = list(measurements)
    lines = [
        f"{cpu_name()}, {_instructions() or 'not compiled'}, one thread, revision {revision()}",
        "",
        "| model | engine | block | x real time (min .. max) | p50 / p99 block, us | of FMA peak | allocations |",
        "|---|---|---|---|---|---|---|",
    ]
    for m in found:
        share = "" if m.peak_share is None else f"{100 * m.peak_share:.0f} %"
        count = "" if m.allocations is None else str(m.allocations)
        speed = f"{m.realtime[0]:.1f} ({m.realtime[1]:.1f} .. {m.realtime[2]:.1f})"
        lines.append(
            f"| {m.model} | {m.engine} | {m.block or 'one call'} | {speed} "
            f"| {m.block_us[0]:.0f} / {m.block_us[1]:.0f} | {share} | {count} |"
        )
    return "\n".join(lines)
