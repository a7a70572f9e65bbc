"""Choose the tiles of the fused kernels on this machine's GPU, and measure what they bring, in about a minute.

    python -m demos.gpu.fused --out build/gpu [--seconds 70] [--gathered demos/gpu/gathered]

Every tile is compiled in a process of its own at first. Then it runs A2 full (8 channels) and the knobbed pedal (16
channels) on the device. A1 standard runs with the best of both. Results are JSON lines, on the screen and in
`fused.jsonl`; the best tiles are in `fused.json`. ESR is to the same network without fused kernels.

`--device cpu` rehearses it with Triton's interpreter and tiny signals, if ``TRITON_INTERPRET=1`` is set.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demos.gpu.context import FRAMES, GATHERED, RATE, Context, Subject, guitar, inputs, subjects
from neural_fx import blocks
from neural_fx.engines.batched import Pool
from neural_fx.engines.fused import stack
from neural_fx.engines.fused.stack import TILES, Tile
from neural_fx.engines.torch import TorchEngine
from neural_fx.networks.wavenet.model import LayerArray

CANDIDATES = (
    Tile(512, 4),
    Tile(256, 2),
    Tile(128, 1),
    Tile(256, 4),
    Tile(512, 4, 168),
    Tile(512, 4, 128),
    Tile(512, 8),
    Tile(1024, 4),
    Tile(256, 4, 80),
    Tile(128, 2),
)
"""Tiles for long signals, the most promising first."""
SHORT = (Tile(128, 4), Tile(256, 4), Tile(256, 8), Tile(64, 2))
"""Tiles for live blocks."""
WIDE, NARROW, MIXED = "knobbed pedal", "A2 full", "A1 standard"
MOST_ESR = 1e-10
LATER = 22.0
"""Seconds for what follows the measurement of the tiles."""
COMPILE_SHARE = 0.4
"""Share of the time that the compilers may take."""


class Measurement:
    """One run of this script.

    Args:
        context: device, clock and results.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.items = subjects(context.gathered)
        self.batches = {name: self._batch(self.items[name]) for name in (WIDE, NARROW, MIXED)}
        self.wanted: dict[str, Tensor] = {}
        self.times: dict[tuple[str, Tile], float] = {}

    def emit(self, **values: Any) -> None:
        """Print a record and append it to the results."""
        values["at_s"] = round(self.context.seconds - self.context.left, 1)
        print(json.dumps(values), flush=True)
        self.context.emit(**values)

    def attempt(self, run: Callable[..., None], *arguments: Any, reserve: float = 2.0, **values: Any) -> None:
        """Run a part of the measurement if there is time, and record what it raises."""
        if self.context.left < reserve:
            self.emit(**values, skipped="out of time")
            return
        try:
            run(*arguments)
        except Exception as error:  # the next part may work
            traceback.print_exc()
            self.emit(**values, error=(str(error) or repr(error)).splitlines()[0][:300])

    def _batch(self, item: Subject) -> Tensor:
        streams, samples = (64, 1 << 16) if self.context.cuda else (1, 300)
        return torch.from_numpy(inputs(item, guitar(self.context.gathered, samples), streams)).to(self.context.device)

    # -- on the device ---------------------------------------------------------------------------------------------

    def today(self, name: str) -> None:
        """Measure a network without fused kernels."""
        self._on_device(name, None)

    def candidate(self, tile: Tile) -> None:
        """Measure a tile with both networks of one width."""
        TILES.wide = TILES.narrow = tile
        for name in (WIDE, NARROW):
            self._on_device(name, tile)

    def best(self) -> None:
        """Choose the tiles, and measure A1 standard with them."""
        TILES.wide = self._fastest(WIDE)
        TILES.narrow = self._fastest(NARROW)
        self.emit(what="chosen", wide=asdict(TILES.wide), narrow=asdict(TILES.narrow))
        self._on_device(MIXED, TILES.wide)

    def _fastest(self, name: str) -> Tile:
        found = {tile: seconds for (item, tile), seconds in self.times.items() if item == name}
        return min(found, key=found.__getitem__) if found else CANDIDATES[0]

    @torch.inference_mode()
    def _on_device(self, name: str, tile: Tile | None) -> None:
        item, x = self.items[name], self.batches[name]
        engine = opened(item, self.context.device, fused=tile is not None)
        state = _resting(engine, item, len(x))
        began = time.perf_counter()
        y, _ = engine.model(x, state)
        self.context.synchronize()
        first = time.perf_counter() - began
        taken = []
        for _ in range(3 if self.context.cuda else 1):
            began = time.perf_counter()
            engine.model(x, state)
            self.context.synchronize()
            taken.append(time.perf_counter() - began)
        found = 0.0
        if tile is None:
            self.wanted[name] = y
        elif name in self.wanted:
            found = esr(self.wanted[name], y)
        seconds = min(taken)
        if tile is not None and found <= MOST_ESR:
            self.times[name, tile] = seconds
        self.emit(
            what="on the device",
            name=name,
            tile=None if tile is None else asdict(tile),
            times_real_time=round(x.shape[0] * x.shape[2] / RATE / seconds, 1),
            esr=found,
            first_s=round(first, 3),
        )

    # -- from arrays -----------------------------------------------------------------------------------------------

    def from_arrays(self, name: str, streams: int, segment: int, at_once: int, fused: bool) -> None:
        """Measure `TorchEngine.long_run`, from arrays to arrays."""
        item = self.items[name]
        if name == WIDE:
            samples = 2 * RATE
        else:
            samples = segment * (max(2, 2 * at_once // streams) + 1)
        one = guitar(self.context.gathered, samples)[None, None]
        x = np.empty((streams, item.network.in_channels, samples), np.float32)
        x[:, :1] = one
        x[:, 1:] = item.controls[:, None]
        engine = opened(item, self.context.device, fused)
        state = _resting(engine, item, streams)
        usual, blocks.MOST_SEGMENTS = blocks.MOST_SEGMENTS, at_once
        taken = []
        try:
            for _ in range(3):
                began = time.perf_counter()
                engine.long_run(state, x, segment)
                self.context.synchronize()
                taken.append(time.perf_counter() - began)
        finally:
            blocks.MOST_SEGMENTS = usual
        self.emit(
            what="from and to arrays",
            name=name,
            fused=fused,
            streams=streams,
            segment=segment,
            at_once=at_once,
            times_real_time=round(streams * samples / RATE / min(taken[1:]), 1),
            first_s=round(taken[0], 3),
        )

    # -- live ------------------------------------------------------------------------------------------------------

    def live(self, name: str, tile: Tile | None) -> None:
        """Measure a step of 256 streams, through a pool with CUDA graphs."""
        item = self.items[name]
        streams, steps = (256, 100) if self.context.cuda else (2, 2)
        TILES.least_samples = TILES.least_work = 0
        TILES.short = tile or TILES.short
        pool = Pool(opened(item, self.context.device, fused=tile is not None))
        places = [pool.join(item.prewarm if self.context.cuda else 0, item.controls) for _ in range(streams)]
        x = inputs(item, guitar(self.context.gathered, 8 * FRAMES), streams)
        taken, outputs = [], []
        for step in range(steps + 10):
            at = step % 8 * FRAMES
            began = time.perf_counter()
            y = pool.run(places, x[:, :, at : at + FRAMES])
            taken.append(time.perf_counter() - began)
            outputs.append(torch.from_numpy(y[:8].copy()))
        key = f"live {name}"
        whole = torch.cat(outputs, 2)
        if tile is None:
            self.wanted[key] = whole
        milliseconds = 1e3 * np.array(taken[10:] or taken)
        self.emit(
            what="live step",
            name=name,
            tile=None if tile is None else asdict(tile),
            p50_ms=round(float(np.median(milliseconds)), 3),
            max_ms=round(float(milliseconds.max()), 3),
            first_ms=round(1e3 * taken[0], 1),
            esr=esr(self.wanted[key], whole) if key in self.wanted else None,
        )


def opened(item: Subject, device: str, fused: bool) -> TorchEngine:
    """Return the engine of a network, with or without fused kernels."""
    engine = TorchEngine(item.network, device)
    if fused and device == "cpu":
        stack.wanted = lambda kind: True
        stack.fuse(engine.model, engine.device)
    stacks = [module for module in engine.model.modules() if isinstance(module, LayerArray)]
    if fused and not all(array.fused for array in stacks):
        raise RuntimeError("no fused kernels here: is Triton installed?")
    for array in stacks:
        array.fused = array.fused if fused else None
    return engine


@torch.inference_mode()
def _resting(engine: TorchEngine, item: Subject, streams: int) -> list[Tensor]:
    """Return the state after a short silence, with the knobs at rest."""
    silence = torch.zeros(1, item.network.in_channels, 64, device=engine.device)
    silence[0, 1:] = torch.from_numpy(item.controls).to(engine.device)[:, None]
    _, state = engine.model(silence, engine.model.initial_state(1))
    return [s.expand(streams, *s.shape[1:]).contiguous() for s in state]


def esr(wanted: Tensor, found: Tensor) -> float:
    """Return the energy of the difference over the energy of the wanted output."""
    return float((found.double() - wanted.double()).square().sum() / wanted.double().square().sum())


def compile_tile(index: int, gathered: Path) -> None:
    """Compile the kernels of all networks with a candidate, so that Triton's cache on the disk has them."""
    TILES.wide = TILES.narrow = CANDIDATES[index]
    TILES.least_samples = TILES.least_work = 0
    items = subjects(gathered)
    with torch.inference_mode():
        for name in (NARROW, MIXED, WIDE):
            engine = opened(items[name], "cuda", fused=True)
            x = torch.zeros(1, items[name].network.in_channels, 2048, device="cuda")
            engine.model(x, _resting(engine, items[name], 1))
    torch.cuda.synchronize()


def main() -> None:
    """Run everything that there is time for."""
    began = time.monotonic()
    # A fall-back to torch would otherwise be measured as a fused kernel.
    warnings.filterwarnings("error", message="fused kernels failed")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--seconds", type=float, default=70.0)
    parser.add_argument("--gathered", type=Path, default=GATHERED)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compile", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile is not None:
        compile_tile(options.compile, options.gathered)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    context = Context(
        options.device, False, options.seconds, options.out / "fused.jsonl", "fused", options.gathered, began
    )
    run(context, options.out)


def run(context: Context, out: Path) -> None:
    """Compile, measure, choose, and write the best tiles."""
    candidates = CANDIDATES if context.cuda else CANDIDATES[:1]
    command = [sys.executable, "-m", "demos.gpu.fused", "--gathered", str(context.gathered), "--compile"]
    compilers = [subprocess.Popen([*command, str(i)]) for i in range(len(candidates))] if context.cuda else []
    try:
        measurement = Measurement(context)
        TILES.least_samples = TILES.least_work = 0
        for name in (WIDE, NARROW, MIXED):
            measurement.attempt(measurement.today, name, what="on the device", name=name)
        compiled = []
        until = time.monotonic() + COMPILE_SHARE * context.seconds - (context.seconds - context.left)
        for tile, compiler in zip(candidates, compilers, strict=False):
            try:
                if compiler.wait(max(0.1, until - time.monotonic())) == 0:
                    compiled.append(tile)
            except subprocess.TimeoutExpired:
                measurement.emit(what="compile", tile=asdict(tile), error="too slow")
        measurement.emit(what="compiled", count=len(compiled))
    finally:
        for compiler in compilers:
            if compiler.poll() is None:
                compiler.kill()
    for tile in compiled or candidates:
        measurement.attempt(measurement.candidate, tile, reserve=LATER, what="on the device", tile=asdict(tile))
    measurement.attempt(measurement.best, what="best", name=MIXED)
    write_best(out, measurement)
    if context.cuda:
        arrays = [
            (MIXED, 16, 1 << 17, 64, True),
            (MIXED, 16, 1 << 17, 256, True),
            (MIXED, 1, 1 << 16, 64, True),
            (NARROW, 16, 1 << 17, 64, True),
            (MIXED, 16, 1 << 17, 64, False),
            (WIDE, 256, 1 << 16, 64, True),
        ]
        for case in arrays:
            measurement.attempt(measurement.from_arrays, *case, what="from and to arrays", case=case)
    for short in (None, *SHORT) if context.cuda else (None, SHORT[0]):
        measurement.attempt(measurement.live, MIXED, short, reserve=4.0, what="live step", tile=str(short))
    write_best(out, measurement)
    measurement.emit(what="done")


def write_best(out: Path, measurement: Measurement) -> None:
    """Write the chosen tiles and the speeds that they were chosen by."""
    seconds_of_audio = {name: x.shape[0] * x.shape[2] / RATE for name, x in measurement.batches.items()}
    speeds = [
        {"name": name, **asdict(tile), "times_real_time": round(seconds_of_audio[name] / seconds, 1)}
        for (name, tile), seconds in measurement.times.items()
    ]
    chosen = {"wide": asdict(TILES.wide), "narrow": asdict(TILES.narrow), "candidates": speeds}
    (out / "fused.json").write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
