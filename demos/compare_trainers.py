"""Compare our trainer with Neural Amp Modeler's: the same pair, the same time and the same cores.

    python demos/compare_trainers.py DRY WET --minutes 15 [--mask 0.3/0.5] [--latency 0]
    python demos/compare_trainers.py DRY --circuit ds-1 --seconds 90    # wet: the circuit with all knobs at noon

Needs `pip install neural-amp-modeler==0.13.0`. Its trainer runs with its default recipe, the packed architecture, until
the time is up. Both trainers use the first nine tenths of the recording. Both captures are measured on the last tenth
with the same function. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from neural_fx.audio import read_audio, resample
from neural_fx.formats import read
from neural_fx.networks import Slimmable
from neural_fx.training.circuits import CIRCUITS
from neural_fx.training.circuits.spice import simulate
from neural_fx.training.evaluate import evaluate_network
from neural_fx.training.pairs import Mask, Pair, load_pair

THEIRS = """
import json, sys, torch
from pathlib import Path
from nam.train import core, full
torch.set_num_threads({threads})
split = {split}
data = {{
    "train": {{"ny": 8192, "stop_samples": split}},
    "validation": {{"ny": None, "start_samples": split, "require_input_pre_silence": False}},
    "common": {{"x_path": {dry!r}, "y_path": {wet!r}, "delay": 0, "allow_unequal_lengths": True}},
}}
learning = {{
    "train_dataloader": {{"batch_size": 16, "shuffle": True, "drop_last": True, "num_workers": 0}},
    "val_dataloader": {{}},
    "trainer": {{"max_epochs": 100, "max_time": {{"seconds": {seconds}}}, "accelerator": "cpu",
                "enable_progress_bar": False}},
}}
full.main(data, core._get_packed_model_config(), learning, Path({out!r}), no_show=True, make_plots=False)
"""


def simulated(circuit: str, dry: Path, seconds: float, folder: Path) -> tuple[Path, Path]:
    """Write the start of a recording, and a circuit's output for it with all knobs in the middle.

    Args:
        circuit: name of the circuit.
        dry: the recording.
        seconds: length to take.
        folder: folder for both files.

    Returns:
        The dry and the wet file.
    """
    audio, rate = read_audio(dry)
    signal = resample(audio, rate, 48000)[0][: round(seconds * 48000)]
    parts = CIRCUITS[circuit]
    paths = folder / f"{dry.stem}.wav", folder / f"{circuit}.wav"
    wet = simulate(parts, signal, 48000, {knob.name: 0.5 for knob in parts.knobs})
    for path, samples in zip(paths, (signal, wet), strict=True):
        soundfile.write(path, samples, 48000, subtype="FLOAT")
    return paths


def quieter(pair: Pair) -> Pair:
    """Return a pair with its target scaled to a peak of 0.9, because the PyPI trainer rejects full scale."""
    return replace(pair, wet=pair.wet * np.float32(0.9 / np.abs(pair.wet).max()))


def theirs(pair: Pair, folder: Path, minutes: float, threads: int) -> list[Path]:
    """Train with the PyPI trainer.

    Args:
        pair: the recording.
        folder: folder for the audio and the captures.
        minutes: time to train.
        threads: cores to use.

    Returns:
        The captures that it wrote.
    """
    for name, signal in (("dry", pair.dry), ("wet", quieter(pair).wet)):
        soundfile.write(folder / f"{name}.wav", signal, pair.sample_rate, subtype="PCM_24")
    script = THEIRS.format(
        threads=threads,
        split=int(0.9 * len(pair.dry)),
        dry=str(folder / "dry.wav"),
        wet=str(folder / "wet.wav"),
        seconds=round(60 * minutes),
        out=str(folder),
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=sys.stderr)
    return sorted(folder.rglob("*.nam"))


def ours(options: argparse.Namespace, folder: Path, arch: str) -> Path:
    """Train with `neural-fx train`.

    Args:
        options: options of this command.
        folder: folder for the capture.
        arch: architecture.

    Returns:
        The capture.
    """
    command = ["train", options.dry, options.wet, "-o", folder / "ours.nam", "--arch", arch, "--no-report"]
    command += ["--minutes", options.minutes, "--threads", options.threads]
    for name in ("mask", "latency"):
        if getattr(options, name) is not None:
            command += [f"--{name}", getattr(options, name)]
    subprocess.run([sys.executable, "-m", "bridge.cli", *map(str, command)], check=True, stdout=sys.stderr)
    return folder / "ours.nam"


def best_esr(paths: list[Path], pair: Pair) -> float:
    """Return the lowest ESR of captures and all their sizes on a recording."""
    networks = [read(path).network for path in paths]
    sizes = [size for n in networks for size in (n.sizes if isinstance(n, Slimmable) else (n,))]
    return min(evaluate_network(size, pair) for size in sizes)


def main() -> None:
    """Read the command line, and simulate the wet recording if a circuit is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dry", type=Path)
    parser.add_argument("wet", type=Path, nargs="?")
    parser.add_argument("--circuit", help="tube-screamer, ds-1 or big-muff, simulated in place of WET")
    parser.add_argument("--seconds", type=float, default=90, help="length of DRY that the circuit plays")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mask")
    parser.add_argument("--latency", type=int)
    parser.add_argument("--arch", default="a1-standard", help="architecture of our capture")
    options = parser.parse_args()
    if (options.wet is None) == (options.circuit is None):
        parser.error("expected either WET or --circuit")
    with tempfile.TemporaryDirectory() as name:
        if options.circuit:
            options.dry, options.wet = simulated(options.circuit, options.dry, options.seconds, Path(name))
            options.latency = 0
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Train with both trainers, measure both captures, and print the ESRs."""
    mask = Mask.parse(options.mask) if options.mask else None
    pair = load_pair(options.dry, options.wet, 48000, mask, options.latency)
    held_out = pair.split()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {"ours": best_esr([ours(options, folder, options.arch)], held_out)}
        (folder / "theirs").mkdir()
        found["theirs"] = best_esr(
            theirs(pair, folder / "theirs", options.minutes, options.threads), quieter(pair).split()[1]
        )
    found["ratio"] = found["ours"] / found["theirs"]
    print(json.dumps({"dry": options.dry.name, "wet": options.wet.name, "minutes": options.minutes, **found}))


if __name__ == "__main__":
    main()
