"""Plot the tone controls, clipping and harmonics of the reference circuits to `circuits.png`. Needs ngspice.

python demos/pedals/plots.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from neural_fx.training.circuits import CIRCUITS, frequency_response, simulate

RATE, NOTE, PEAK = 48000, 220.0, 0.1
SETTINGS = ((0.0, "0"), (0.5, "noon"), (1.0, "10"))


def main() -> None:
    """Plot one row for each pedal."""
    figure = Figure((13, 10), layout="constrained")
    axes = figure.subplots(len(CIRCUITS), 3)
    frequencies = np.geomspace(40, 16000, 40)
    t = np.arange(RATE // 2) / RATE
    sine = (PEAK * np.sin(2 * np.pi * NOTE * t)).astype(np.float32)
    last = slice(-round(20 * RATE / NOTE), None)
    for (name, circuit), (tone, wave, bars) in zip(CIRCUITS.items(), axes, strict=True):
        drive, _, level = (knob.name for knob in circuit.knobs)
        for i, (turn, label) in enumerate(SETTINGS):
            response = frequency_response(circuit, {"tone": turn, drive: 0.0, level: 1.0}, list(frequencies))
            tone.semilogx(frequencies, response, label=f"tone {label}")
            output = simulate(circuit, sine, RATE, {drive: turn, level: 1.0})[last]
            wave.plot(1000 * t[: len(output) // 10], output[: len(output) // 10], label=f"{drive} {label}")
            k = 2j * np.pi * NOTE / RATE * np.arange(len(output))
            window = np.hanning(len(output))
            harmonics = [np.abs(np.sum(window * output * np.exp(-h * k))) for h in range(1, 11)]
            db = 20 * np.log10(np.array(harmonics) / harmonics[0] + 1e-6)
            bars.bar(np.arange(1, 11) + 0.25 * (i - 1), db + 100, 0.25, bottom=-100, label=f"{drive} {label}")
        tone.set(title=f"{name}: small signal, {drive} 0", xlabel="Hz", ylabel="dB")
        wave.set(title=f"{NOTE:g} Hz, {PEAK:g} V peak", xlabel="ms", ylabel="V")
        bars.set(title="harmonics", xlabel="of the note", ylabel="dB", ylim=(-100, 0))
        for axis in (tone, wave, bars):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
    figure.savefig(Path(__file__).parent / "circuits.png", dpi=80)


if __name__ == "__main__":
    main()
