"""Measure how fast networks play sample by sample on one core, and what keeping every layer's past saves.

    python demos/autoregressive/speed.py [--naive] [--training] [--json FILE]

Prints tables in Markdown. Times are CPU times of one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neural_fx.bench import cpu_name, revision
from neural_fx.engines import cpu
from neural_fx.networks.autoregressive.compiled import CompiledGenerator
from neural_fx.networks.autoregressive.compiled_loss import CompiledLoss
from neural_fx.networks.autoregressive.description import Description, RecurrentSizes, WaveNetSizes, count_weights
from neural_fx.networks.autoregressive.losses import class_bits
from neural_fx.networks.autoregressive.model import Autoregressive, build
from neural_fx.networks.autoregressive.speed import realtime, untrained

VOICES = (1, 2, 4, 8)
LAYERS = (10, 20, 30)
DESCRIPTIONS = (Description(WaveNetSizes()), Description(RecurrentSizes()))
CYCLE = tuple(2**k for k in range(10))


def speed(description: Description) -> dict[str, Any]:
    """Return the speed of a network for some numbers of voices, and the bounds of this core.

    A sample can't take less than reading all weights, or than all multiply-adds.
    """
    generator = untrained(description, max(VOICES))
    size = generator.bytes_per_sample
    rate = description.signal.rate
    reading = 1e9 * cpu.core.read_peak(size) / size / rate
    counting = 1e9 * cpu.fma_peak() / (size / 2) / rate  # 4 bytes of weights take 2 operations
    rows = [
        {"voices": voices, "realtime": realtime(generator, voices), "bound": min(reading, counting / voices)}
        for voices in VOICES
    ]
    return {
        "kind": description.kind,
        "weights": count_weights(description),
        "bytes": size,
        "read_peak": 1e-9 * reading * size * rate,
        "fma_peak": 1e-9 * counting * size / 2 * rate,
        "rows": rows,
    }


def microseconds(play: Callable[[], object], samples: int, rounds: int = 3) -> float:
    """Return the CPU time of a sample, the best of some rounds."""
    best = np.inf
    for _ in range(rounds):
        began = time.thread_time()
        play()
        best = min(best, time.thread_time() - began)
    return 1e6 * best / samples


def costs(layers: int) -> dict[str, float]:
    """Return the microseconds of a sample of a WaveNet, naive and with its past kept, in torch and compiled.

    Naive generation runs the network over its receptive field for every sample.
    """
    description = Description(WaveNetSizes(dilations=CYCLE * (layers // 10)))
    field = description.sizes.receptive_field if isinstance(description.sizes, WaveNetSizes) else 1
    generator = untrained(description, 1)
    model = build(description).eval()
    frames = np.zeros((1, 2, description.inputs.frame), np.float32)
    voice = np.zeros((1, description.inputs.voice), np.float32)
    cycles = np.zeros((1, field))
    previous = np.full((1, field), description.signal.zero)
    samples = 40

    def naive_torch() -> None:
        with torch.inference_mode():
            model(torch.from_numpy(previous), _conditions(model, field))

    def kept_torch() -> None:
        with torch.inference_mode():
            state = model.initial_state(1)
            conditions = _conditions(model, 1)
            for _ in range(samples):
                _, state = model(torch.from_numpy(previous[:, :1]), conditions, state)

    def naive_compiled(generator: CompiledGenerator = generator) -> None:
        generator.force((0,), previous, frames, cycles, voice)

    return {
        "layers": layers,
        "receptive_field": field,
        "torch_naive": microseconds(naive_torch, 1),
        "torch_kept": microseconds(kept_torch, samples),
        "compiled_naive": microseconds(naive_compiled, 1),
        "compiled_kept": 1e6 / description.signal.rate / realtime(generator, 1),
    }


def training(description: Description, batch: int = 4, samples: int = 2048) -> dict[str, Any]:
    """Return the microseconds of a sample in training, forwards and backwards, in torch and compiled."""
    torch.manual_seed(0)
    model = build(description)
    classes = torch.randint(1, description.signal.levels, (batch, samples))
    previous = model.previous(classes)
    conditions = torch.randn(batch, samples, description.inputs.count)
    compiled = CompiledLoss(model, batch, samples)

    def step_torch() -> None:
        outputs, _ = model(previous, conditions)
        class_bits(outputs, classes).mean().backward()

    def step_compiled() -> None:
        compiled(previous, classes, conditions).backward()

    count = batch * samples
    return {
        "kind": description.kind,
        "torch": microseconds(step_torch, count),
        "compiled": microseconds(step_compiled, count),
    }


def _conditions(model: Autoregressive, samples: int) -> torch.Tensor:
    return torch.zeros(1, samples, model.description.inputs.count)


def _print_speed(found: list[dict[str, Any]]) -> None:
    print("| network | weights | read per sample | voices | x real time | bound | share |")
    print("|---|---|---|---|---|---|---|")
    for network in found:
        for row in network["rows"]:
            share = row["realtime"] / row["bound"]
            print(
                f"| {network['kind']} | {network['weights'] / 1e3:.0f} k | {network['bytes'] / 1e3:.0f} kB "
                f"| {row['voices']} | {row['realtime']:.1f} | {row['bound']:.1f} | {100 * share:.0f} % |"
            )
    print(f"\n{found[0]['read_peak']:.0f} GB/s read, {found[0]['fma_peak']:.0f} GFLOP/s\n")


def _print_costs(found: list[dict[str, float]]) -> None:
    print("| layers | receptive field | torch, naive | torch, past kept | compiled, naive | compiled, past kept |")
    print("|---|---|---|---|---|---|")
    for row in found:
        times = (row["torch_naive"], row["torch_kept"], row["compiled_naive"], row["compiled_kept"])
        cells = " | ".join(f"{value:.0f} us" if value >= 10 else f"{value:.1f} us" for value in times)
        print(f"| {row['layers']} | {row['receptive_field']} | {cells} |")


def _print_training(found: list[dict[str, Any]]) -> None:
    print("| training | torch | compiled | |")
    print("|---|---|---|---|")
    for row in found:
        ratio = row["torch"] / row["compiled"]
        print(f"| {row['kind']} | {row['torch']:.1f} us | {row['compiled']:.1f} us | {ratio:.1f} x |")
    print()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--naive", action="store_true", help="also measure generation that keeps no past")
    parser.add_argument("--training", action="store_true", help="also measure training, beside torch's")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{cpu_name()}, {cpu.instruction_set()}, revision {revision()}\n")
    speeds = [speed(description) for description in DESCRIPTIONS]
    _print_speed(speeds)
    lessons = [training(description) for description in DESCRIPTIONS] if arguments.training else []
    if lessons:
        _print_training(lessons)
    naive = [costs(layers) for layers in LAYERS] if arguments.naive else []
    if naive:
        _print_costs(naive)
    if arguments.json:
        about = {"cpu": cpu_name(), "instruction_set": cpu.instruction_set(), "revision": revision()}
        arguments.json.write_text(
            json.dumps({**about, "speed": speeds, "training": lessons, "naive": naive}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
