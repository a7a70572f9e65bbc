"""Run ngspice in batch mode: audio through a netlist, its operating point, and its small-signal response.

Two choices come from measurements with ngspice 39. A PWL source takes minutes per second of audio, so the XSPICE
`filesource` is used. `.options interp` misplaces samples, so the raw time steps are saved and interpolated here. The
input node is compared with the input to detect errors.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neural_fx.audio import resample
from neural_fx.errors import TrainingError
from neural_fx.training.circuits.netlists import FOLDER, Circuit

OVERSAMPLING = 8
"""Simulation steps per sample. At full drive, 8 has errors of -73 (TS808), -56 (DS-1) and -62 dB (Big Muff)."""


class SpiceError(TrainingError):
    """ngspice is missing, failed, or returned a wrong result."""


def simulate(
    circuit: Circuit,
    audio: NDArray[np.float32],
    sample_rate: int,
    turns: Mapping[str, float],
    oversampling: int = OVERSAMPLING,
) -> NDArray[np.float32]:
    """Return a circuit's output for an input, starting at its operating point.

    Args:
        circuit: the circuit.
        audio: input, (samples,); 1.0 is 1 V.
        sample_rate: sample rate of input and output in Hz.
        turns: knob rotations 0 to 1. Missing knobs are in the middle.
        oversampling: time steps per sample.

    Returns:
        Output, (samples,), without added latency; 1.0 is 1 V.

    Raises:
        SpiceError: ngspice is not installed, does not converge, or simulated another input.
        TrainingError: the circuit has no such knob, or a rotation is outside of 0 to 1.
    """
    rate = sample_rate * oversampling
    sent = resample(np.asarray(audio, np.float32)[None], sample_rate, rate)[0].astype(np.float64)
    times = np.arange(len(sent)) / rate
    with tempfile.TemporaryDirectory(prefix="neural-fx-spice-") as name:
        folder = Path(name)
        with (folder / "input.txt").open("w") as file:
            file.writelines(f"{t:.10e} {v:.8e}\n" for t, v in zip(times.tolist(), sent.tolist(), strict=True))
        step = 1 / rate
        stimulus = [
            "A1 %v([in]) source",
            '.model source filesource(file="input.txt" amploffset=[0] amplscale=[1] timeoffset=0 timescale=1'
            " timerelative=false amplstep=false)",
        ]
        analysis = [f".tran {step:.10e} {times[-1]:.10e} 0 {step:.10e}", ".save v(in) v(out)"]
        _run(folder, _deck(circuit, turns, stimulus, analysis), "-r", "out.raw")
        at, values = _read_raw(folder / "out.raw")
    node_in, node_out = (_between(times, at, v) for v in values)
    lost, bend = _rms(node_in - sent), _rms(np.diff(sent, 2))
    if lost > 1e-3 * max(1e-3, _rms(sent)) + bend / 4:  # the source interpolates linearly, with errors up to bend / 8
        raise SpiceError(f"{circuit.name}: the input node is off by {lost:.2g} V RMS from the input")
    output: NDArray[np.float32] = resample(node_out[None].astype(np.float32), rate, sample_rate)[0, : len(audio)]
    return output


def _rms(x: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def _between(times: NDArray[np.float64], at: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate values at the rising times `at` to other times, with cubic Hermite polynomials."""
    slopes = np.gradient(values, at)
    i = np.clip(np.searchsorted(at, times, "right") - 1, 0, len(at) - 2)
    step = at[i + 1] - at[i]
    u = np.clip((times - at[i]) / step, 0, 1)
    v = 1 - u
    ends = (1 + 2 * u) * v**2 * values[i] + (1 + 2 * v) * u**2 * values[i + 1]
    result: NDArray[np.float64] = ends + step * u * v * (v * slopes[i] - u * slopes[i + 1])
    return result


def operating_point(circuit: Circuit, turns: Mapping[str, float]) -> dict[str, float]:
    """Return the DC voltages of a circuit's nodes in V, by the names in the netlist.

    Args:
        circuit: the circuit.
        turns: knob rotations 0 to 1. Missing knobs are in the middle.
    """
    lines = _control(circuit, turns, "V1 in 0 dc 0", ["op", "print all"])
    found = (re.fullmatch(r"(?:x1\.)?(\w+) = (\S+)\s*", line) for line in lines)
    return {match[1]: float(match[2]) for match in found if match}


def frequency_response(
    circuit: Circuit, turns: Mapping[str, float], frequencies: Sequence[float], ratio: tuple[str, str] = ("out", "in")
) -> NDArray[np.float64]:
    """Return the small-signal gain between two nodes.

    Args:
        circuit: the circuit.
        turns: knob rotations 0 to 1. Missing knobs are in the middle.
        frequencies: frequencies in Hz.
        ratio: output node and input node, by the names in the netlist.

    Returns:
        Gain in dB at each frequency.
    """
    over, under = (n if n in ("in", "out") else f"x1.{n}" for n in ratio)
    commands = []
    for f in frequencies:
        commands += [f"ac lin 1 {f} {f}", f"print vdb({over})-vdb({under})"]
    lines = _control(circuit, turns, "V1 in 0 dc 0 ac 1", commands)
    values = [float(line.split(" = ")[1]) for line in lines if line.startswith("vdb(")]
    if len(values) != len(frequencies):
        raise SpiceError(f"{circuit.name}: ngspice returned {len(values)} of {len(frequencies)} frequencies")
    return np.array(values)


def _control(circuit: Circuit, turns: Mapping[str, float], source: str, commands: list[str]) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="neural-fx-spice-") as name:
        deck = _deck(circuit, turns, [source], [".control", *commands, ".endc"])
        return _run(Path(name), deck).splitlines()


def _deck(circuit: Circuit, turns: Mapping[str, float], stimulus: list[str], analysis: list[str]) -> str:
    knobs = " ".join(f"{name}={position:.9g}" for name, position in circuit.positions(turns).items())
    return "\n".join(
        [
            circuit.title,
            f".include {FOLDER / 'parts.cir'}",
            f".include {circuit.netlist}",
            *stimulus,
            f"X1 in out {circuit.subcircuit} {knobs}",
            *analysis,
            ".end",
            "",
        ]
    )


def _run(folder: Path, deck: str, *options: str) -> str:
    if shutil.which("ngspice") is None:
        raise SpiceError("ngspice is not installed; on Debian and Ubuntu: apt-get install ngspice")
    (folder / "deck.cir").write_text(deck)
    done = subprocess.run(
        ["ngspice", "-b", *options, "deck.cir"], cwd=folder, capture_output=True, text=True, check=False, timeout=3600
    )
    wrong = [line for line in (done.stdout + done.stderr).splitlines() if "rror" in line or "too small" in line]
    if wrong:  # the exit status is not usable: a deck with a .control section always ends with 1
        raise SpiceError(f"ngspice failed: {wrong[0]}")
    return done.stdout


def _read_raw(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the times (steps,) and voltages (2, steps) of a binary raw file."""
    data = path.read_bytes()
    header, _, body = data.partition(b"Binary:\n")
    fields = dict(line.split(": ", 1) for line in header.decode("ascii", "replace").splitlines() if ": " in line)
    table = np.frombuffer(body, np.float64).reshape(-1, int(fields["No. Variables"]))
    return table[:, 0], table[:, 1:].T
