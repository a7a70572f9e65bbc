"""Make a bundled pedal with knobs: simulate its circuit, train a network, test it on other guitars, and package it.

    python demos/pedals/make_pedal.py tube-screamer --shared ../shared --work build/pedals --minutes 60

Needs ngspice. Every step keeps its results in --work, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neural_fx.formats.pedal import pedal_bytes
from neural_fx.networks import Knobbed, Level, WaveNet, walk
from neural_fx.networks.knobbed.folding import fold
from neural_fx.training.architectures import knobbed, pedal, smc
from neural_fx.training.circuits import CIRCUITS, Circuit, frequency_response, simulate
from neural_fx.training.circuits.dataset import (
    RUN_UP,
    SAMPLE_RATE,
    Material,
    Segment,
    Tones,
    draw_turns,
    generate,
    load,
)
from neural_fx.training.evaluate import evaluate_network, play
from neural_fx.training.export import loudness_and_gain
from neural_fx.training.loop import Progress, Settings, Trainer
from neural_fx.training.losses import Loss
from neural_fx.training.pairs import Pair

HELD_OUT = ("fear-guitar", "jazz-hop-guitar", "pop-punk-guitar")
POSITIONS, TEST_SECONDS = 20, 2.0
LOSS = Loss(emphasized=0.5, plain=1.0, dc=0.1)
Turns = dict[str, float]


def anywhere(rng: np.random.Generator, circuit: Circuit) -> Turns:
    """Draw a knob position from the whole range, but output controls only from where they are audible."""
    return {k.name: round(float(rng.uniform(0.1 if k.output else 0, 1)), 4) for k in circuit.knobs}


def noon(rng: np.random.Generator, circuit: Circuit) -> Turns:
    """Return the position with all knobs in the middle."""
    return {knob.name: 0.5 for knob in circuit.knobs}


def noon_full(rng: np.random.Generator, circuit: Circuit) -> Turns:
    """Return the baseline's training position: all knobs in the middle, output controls fully up."""
    return {knob.name: 1.0 if knob.output else 0.5 for knob in circuit.knobs}


def hard(rng: np.random.Generator, circuit: Circuit) -> Turns:
    """Draw a training position with the gain, the first knob, in the upper two fifths of its range."""
    turns = draw_turns(rng, circuit)
    gain = circuit.knobs[0].name
    return {**turns, gain: round(0.6 + 0.4 * turns[gain], 4)}


def make_data(circuit: Circuit, shared: Path, work: Path, count: int, extra: int, tones: int, jobs: int) -> None:
    """Simulate the training sets, the baseline's training set, and the test sets of every held-out guitar.

    Args:
        circuit: the circuit.
        shared: folder with the recordings.
        work: folder for the data sets.
        count: training segments.
        extra: further training segments near full gain.
        tones: further training segments of high sines.
        jobs: simulations to run at the same time.
    """
    di = sorted((shared / "audio" / "di").glob("*.flac"))
    heard = [p for p in di if p.stem not in HELD_OUT] + [shared / "audio/pairs/klon-gain-stage/dry.flac"]
    plans: list[tuple[str, Material | Tones, int, Callable[[np.random.Generator, Circuit], Turns]]] = [
        ("train", Material(heard), count, draw_turns),
        ("noon-train", Material(heard), 15, noon_full),
    ]
    if extra:
        plans.append(("train-hard", Material(heard), extra, hard))
    if tones:
        plans.append(("train-tones", Tones(), tones, draw_turns))
    for name in HELD_OUT:
        guitar = Material([shared / "audio" / "di" / f"{name}.flac"], 0.0, TEST_SECONDS, (0.0, 0.0))
        plans += [(f"test/{name}", guitar, POSITIONS, anywhere), (f"noon-test/{name}", guitar, 3, noon)]
    for folder, material, wanted, turns in plans:
        seed = {"train-hard": 1, "train-tones": 2}.get(folder, 0)
        for done in generate(circuit, work / folder, material, wanted, seed=seed, jobs=jobs, turns=turns):
            print(f"{circuit.name} {folder}: {done} of {wanted}", end="\r", flush=True)
        print()


def as_pair(segment: Segment, kept: list[int]) -> Pair:
    """Return a segment as a pair whose run-up is masked.

    Args:
        segment: the segment.
        kept: indices of the knobs that the network has.
    """
    usable = np.ones(len(segment.dry), bool)
    usable[: round(RUN_UP * SAMPLE_RATE)] = False
    return Pair(segment.dry, segment.wet, usable, SAMPLE_RATE, 0, tuple(segment.turns[i] for i in kept))


def train(network: Knobbed | WaveNet, pairs: list[Pair], checkpoint: Path, settings: Settings) -> Trainer:
    """Train, or continue from the checkpoint, which is written at every validation.

    Args:
        network: initial network.
        pairs: training recordings.
        checkpoint: path of the checkpoint.
        settings: settings of the training.

    Returns:
        The trainer, after training.
    """
    trainer = Trainer(network, pairs, settings)
    if checkpoint.exists():
        trainer.load(checkpoint, same_data=False)

    def report(progress: Progress) -> None:
        trainer.save(checkpoint)
        text = f"step {progress.step}, {100 * progress.fraction:.0f} %: ESR {100 * progress.validation_esr:.3f} %"
        print(f"{checkpoint.stem} {text}, best {100 * progress.best_esr:.3f} %", flush=True)

    trainer.run(report)
    return trainer


def with_levels(network: Knobbed, circuit: Circuit) -> Knobbed:
    """Add the circuit's output control to a network: its gain at 1 kHz at 41 rotations, relative to a full turn."""
    levels = []
    for index, knob in enumerate(circuit.knobs):
        if knob.output:
            gains = [frequency_response(circuit, {knob.name: float(t)}, [1000.0])[0] for t in np.linspace(0, 1, 41)]
            levels.append(Level(index, (10 ** ((np.array(gains) - gains[-1]) / 20)).astype(np.float32)))
    return replace(network, levels=tuple(levels))


def tested(network: Knobbed, folder: Path) -> np.ndarray:
    """Return the ESRs over the test sets in a folder, including the output level.

    All guitars have the same knob positions.

    Args:
        network: the network.
        folder: folder with a data set for each guitar.

    Returns:
        (guitars, positions).
    """
    found = []
    for guitar in HELD_OUT:
        segments = list(load(folder / guitar))
        found.append([evaluate_network(fold(network, s.turns), as_pair(s, [])) for s in segments])
    return np.array(found)


def alias_db(output: np.ndarray, frequency: float) -> float:
    """Return the energy between the harmonics up to 15 kHz, in dB relative to the whole.

    Args:
        output: (samples,), with whole cycles of the sine.
        frequency: frequency of the sine in Hz.
    """
    spectrum = np.abs(np.fft.rfft(output * np.hanning(len(output)))) ** 2
    bins = np.fft.rfftfreq(len(output), 1 / SAMPLE_RATE)
    distance = np.abs(bins - frequency * np.round(bins / frequency))
    stray = (distance > 40) & (bins > 40) & (bins < 15000)
    return float(10 * np.log10(spectrum[stray].sum() / spectrum.sum()))


def aliasing(network: Knobbed, circuit: Circuit) -> dict[str, float]:
    """Return the aliasing of the circuit and of the network for a 5 kHz sine at full level and full drive, in dB."""
    t = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    frequency = 5000.0
    sine = np.sin(2 * np.pi * frequency * t).astype(np.float32)
    turns = {circuit.knobs[0].name: 1.0, circuit.knobs[1].name: 0.5, circuit.knobs[2].name: 1.0}
    wet = simulate(circuit, sine, SAMPLE_RATE, turns)
    pair = Pair(sine, wet, np.ones(len(t), bool), SAMPLE_RATE)
    ours = play(fold(network, list(turns.values())), pair)
    part = slice(len(t) // 2, None)
    return {"circuit_db": alias_db(wet[part], frequency), "network_db": alias_db(ours[part], frequency)}


def main() -> None:
    """Make one pedal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(CIRCUITS))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, default=Path("build/pedals"))
    parser.add_argument("--out", type=Path, default=Path("neural_fx/pedals/data"))
    parser.add_argument("--segments", type=int, default=130)
    parser.add_argument("--hard", type=int, default=0, help="further segments near full gain")
    parser.add_argument("--tones", type=int, default=0, help="further segments of high sines")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--baseline-minutes", type=float, default=6)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    circuit, work = CIRCUITS[options.name], options.work / options.name
    make_data(circuit, options.shared, work, options.segments, options.hard, options.tones, options.threads)
    learned = [i for i, knob in enumerate(circuit.knobs) if not knob.output]
    settings = Settings(
        minutes=options.minutes,
        batch=options.batch,
        rate=options.rate,
        threads=options.threads,
        validate_every=200,
        loss=LOSS,
    )
    folders = ["train", *(["train-hard"] if options.hard else []), *(["train-tones"] if options.tones else [])]
    pairs = [as_pair(segment, learned) for folder in folders for segment in load(work / folder)]
    trainer = train(knobbed(pedal(options.width), len(learned)), pairs, work / "knobs.ckpt", settings)
    assert isinstance(trainer.best, Knobbed)
    network = with_levels(trainer.best, circuit)
    fixed = [as_pair(segment, []) for segment in load(work / "noon-train")]
    shorter = replace(
        settings, minutes=options.baseline_minutes, rate=1e-3
    )  # gated layers diverge at the learning rate of the pedals
    baseline = train(smc(), fixed, work / "baseline.ckpt", shorter).best
    assert isinstance(baseline, WaveNet)
    results = {
        "esr": summary(tested(network, work / "test")),
        "esr_at_noon": summary(tested(network, work / "noon-test")),
        "baseline_at_noon": summary(tested(with_levels(as_knobbed(baseline, circuit), circuit), work / "noon-test")),
        "aliasing_5k": aliasing(network, circuit),
        "validation": trainer.best_esr,
        "steps": trainer.step,
        "minutes": trainer.elapsed / 60,
    }
    print(json.dumps(results, indent=2))
    loudness, gain = loudness_and_gain(network, SAMPLE_RATE)
    about = {"name": circuit.title, "loudness": round(loudness, 4), "gain": round(gain, 4), "gear_type": "pedal"}
    knobs = dict.fromkeys((knob.name for knob in circuit.knobs), 0.5)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{circuit.name}.safetensors").write_bytes(pedal_bytes(network, knobs, SAMPLE_RATE, about))
    (work / "results.json").write_text(json.dumps(results, indent=2))
    more = f" --hard {options.hard}" * bool(options.hard) + f" --tones {options.tones}" * bool(options.tones)
    about_it = card(circuit, network, results, f"--segments {options.segments}{more} --minutes {options.minutes:g}")
    (options.out / f"{circuit.name}.card.json").write_text(json.dumps(about_it, indent=2) + "\n")


def card(circuit: Circuit, network: Knobbed, results: dict[str, Any], command: str) -> dict[str, Any]:
    """Return the data card of a pedal.

    Args:
        circuit: the circuit.
        network: the trained network.
        results: measurements.
        command: options of the command that made the pedal.
    """
    weights, width = sum(part.size for part in walk_arrays(network)), network.network.arrays[0].rechannel.out_channels
    return {
        "slug": circuit.name,
        "title": circuit.title,
        "models": "The full signal path of a nominal unit of its published schematic, simulated in SPICE at all "
        "positions of its knobs; not a recorded unit. 1 V at the jacks is digital full scale.",
        "knobs": [knob.name for knob in circuit.knobs],
        "architecture": f"WaveNet with knobs: one stack of 20 layers, {width} channels, tanh, modulated by two hidden "
        f"layers; {weights:,} weights, {SAMPLE_RATE // 1000} kHz. The output control is the circuit's gain, measured",
        "origin": f"circuit simulation (neural_fx/training/circuits/{circuit.netlist.name}), ngspice",
        "data": {
            "audio": "direct guitar and bass (seven performances), 212 s of the klon-gain-stage dry guitar, and 15 % "
            "sweeps, bursts and noise, at levels from -18 to +6 dB, a random knob position every 4 s, 8 x 48 kHz",
            "split": "every tenth segment validated on; tested on three guitars never trained on: "
            + ", ".join(HELD_OUT),
            "licence": "direct recordings: MIT (TONE3000); klon-gain-stage dry guitar: BSD-3-Clause, Copyright (c) "
            "2020, jatinchowdhury18; circuit and simulation: ours",
        },
        "training": {
            "command": f"python demos/pedals/make_pedal.py {circuit.name} {command}",
            "steps": results["steps"],
            "minutes": round(results["minutes"], 1),
            "machine": "one core of a server CPU, shared with other work",
        },
        "esr": {
            "value": results["esr"]["mean"],
            **results["esr"],
            "noon": results["esr_at_noon"]["mean"],
            "baseline_noon": results["baseline_at_noon"]["mean"] if "baseline_at_noon" in results else None,
            "measure": "plain, full band, no pre-emphasis, fraction; guitars never trained on, random positions of all "
            "knobs, excerpts of two seconds",
        },
        "aliasing_5k": results["aliasing_5k"],
        "notice": "Names and trademarks belong to their owners, who have nothing to do with this; they name what was "
        "simulated.",
    }


def walk_arrays(network: Knobbed) -> Iterator[np.ndarray]:
    """Yield every array of weights."""
    for part in walk(network):
        yield from (value for value in vars(part).values() if isinstance(value, np.ndarray))


def as_knobbed(network: WaveNet, circuit: Circuit) -> Knobbed:
    """Return a plain network as a pedal whose knobs have no effect, except for the output level."""
    learned = tuple(i for i, knob in enumerate(circuit.knobs) if not knob.output)
    made = knobbed(network, len(learned))
    still = tuple(replace(dense, weight=0 * dense.weight, bias=0 * dense.bias) for dense in made.dense)
    return replace(made, learned=learned, dense=still)


def summary(esrs: np.ndarray) -> dict[str, float]:
    """Summarise ESRs, (guitars, positions): mean, worst excerpt, worst position (mean over guitars), and number."""
    worst = {"worst": float(np.max(esrs)), "worst_position": float(np.max(esrs.mean(0)))}
    return {"mean": float(np.mean(esrs)), **worst, "positions": int(esrs.size)}


if __name__ == "__main__":
    main()
