"""Transfer phrases to every bundled timbre, and measure how pitch, loudness and brightness change.

    python demos/timbre/transfer.py PHRASES_FOLDER -o OUT_FOLDER [--phrases sax-phrase singing-female ...]

Writes a FLAC file for each pair, a strip of spectrograms for each phrase, and `transfer.json` with these measures:

- Raw pitch accuracy: share of frames within 50 cents of the input, apart from the shift by octaves.
- Correlation of the loudness contours where the pitch is clear.
- Median spectral centroid before and after, and its range in the timbre's own recordings.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from neural_fx.audio import read_audio, resample
from neural_fx.render import write_audio
from neural_fx.timbre import TIMBRES, TimbreTransfer, analyze, timbre_card
from neural_fx.timbre.analysis import RATE
from neural_fx.timbre.plots import strip
from neural_fx.training.timbre.evaluate import centroids

PHRASES = ("singing-female", "vocadito_10", "sax-phrase", "solo-trumpet")


def centroid(audio: Any, frames: Any) -> float:
    """Return the median spectral centroid of frames in Hz.

    Args:
        audio: (samples,).
        frames: (frames,) booleans.
    """
    found = centroids(audio, np.flatnonzero(frames)[::5])
    return float(np.median(found)) if len(found) else 0.0


def compare(phrase: Any, output: Any, name: str) -> dict[str, Any]:
    """Return the measures of one transfer.

    Args:
        phrase: input, (samples,).
        output: output, (samples,).
        name: name of the timbre.
    """
    before, after = analyze(phrase, RATE), analyze(output, RATE)
    n = min(len(before.f0_hz), len(after.f0_hz))
    played = (before.loudness_db[:n] > before.loudness_db.max() - 40) & (before.confidence[:n] > 0.85)
    octaves = np.log2(after.f0_hz[:n] / before.f0_hz[:n])
    off = octaves - np.round(octaves)
    shift = int(np.round(np.median(octaves[played])))
    return {
        "timbre": name,
        "octaves": shift,
        "raw_pitch_accuracy": round(float(np.mean(np.abs(octaves[played] - shift) < 0.5 / 12)), 4),
        "raw_chroma_accuracy": round(float(np.mean(np.abs(off[played]) < 0.5 / 12)), 4),
        "loudness_correlation": round(
            float(np.corrcoef(before.loudness_db[:n][played], after.loudness_db[:n][played])[0, 1]), 4
        ),
        "centroid_before": round(centroid(phrase, played)),
        "centroid_after": round(centroid(output, played)),
        "centroid_of_the_timbre": timbre_card(name)["centroid_hz"],
    }


def main() -> None:
    """Transfer and measure all phrases, and draw their spectrograms."""
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--phrases", nargs="+", default=PHRASES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = []
    for phrase in options.phrases:
        path = next(p for p in sorted(options.folder.iterdir()) if p.stem == phrase)
        audio, rate = read_audio(path)
        signal = resample(audio, rate, RATE).mean(0)
        figure = Figure((9, 1.8 * (1 + len(TIMBRES))), layout="constrained")
        axes = figure.subplots(1 + len(TIMBRES), 1, sharex=True)
        strip(axes[0], signal, f"{phrase}: input")
        for axis, name in zip(axes[1:], TIMBRES, strict=True):
            output = TimbreTransfer(name)(signal, RATE)
            loud = np.float32(0.9 / max(0.9, float(np.abs(output).max())))
            write_audio(options.out / f"{phrase}-{name}.flac", (output * loud)[None], RATE)
            results.append({"phrase": phrase, **compare(signal, output, name)})
            strip(axis, output, name)
            print(json.dumps(results[-1]))
        figure.savefig(options.out / f"{phrase}.png", dpi=45)
    (options.out / "transfer.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
