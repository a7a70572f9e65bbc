"""Make a bundled timbre from its recordings: train it, measure it, and write the file and its data card.

    python demos/timbre/make_timbre.py violin RECORDINGS --minutes 30 [--checkpoint VIOLIN.ckpt] -o OUT_FOLDER

If the checkpoint has already used up its minutes, this only measures and writes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from neural_fx.timbre import read_timbre
from neural_fx.timbre.decoder import Shape
from neural_fx.training.timbre.evaluate import centroids
from neural_fx.training.timbre.export import save_timbre
from neural_fx.training.timbre.loop import Progress, Settings, Trainer
from neural_fx.training.timbre.recordings import MANY, Solo, find, load
from neural_fx.training.timbre.report import examine

HARMONICS = {"violin": 100, "cello": 160, "alto-sax": 140, "flute": 80, "trumpet": 110}
IN_ROOMS = ("violin",)
SOUNDFONT = {
    "recordings": "fluidsynth, MuseScore_General",
    "data": "24 performances of 20 s by demos/timbre/render_soundfont.py: scales, leaps, long and short notes, late "
    "vibrato, swells; MuseScore_General_Full.sf2 through fluidsynth without reverb and chorus",
    "licence": "SoundFont: MIT, parts public domain or CC0 (S. Christian Collins, Michael Cowgill, Frank Wen)",
}
ORIGINS = {
    "violin": {
        "recordings": "J. Garner, M. Kim (Bach)",
        "data": "Bach, partita BWV 1002 (three movements, John Garner) and sonata BWV 1003 (two, MinJi Kim), 775 s, "
        "in rooms, with double stops",
        "licence": "CC BY 3.0: recordings by John Garner and by MinJi Kim; the timbre is derived from them",
    },
    "alto-sax": {
        "recordings": "Karoryfer Weresax",
        "data": "128 long notes, two dynamics, 762 s",
        "licence": "CC0 (Karoryfer Weresax)",
    },
    "cello": {
        "recordings": "Karoryfer x bigcat cello",
        "data": "136 sustained notes, four dynamics, two strings, 651 s",
        "licence": "CC0 (Karoryfer x bigcat cello)",
    },
    "flute": SOUNDFONT,
    "trumpet": SOUNDFONT,
}


def _some(solo: Solo) -> np.ndarray:
    """Return every fifth frame that is voiced."""
    frames = np.flatnonzero(solo.analysis.voiced)
    return frames[frames % 5 == 0]


def brightness(solos: list[Solo]) -> list[float]:
    """Return the 10th, 50th and 90th percentile of the spectral centroids of voiced frames, in Hz."""
    found = [centroids(s.audio, _some(s)) for s in solos]
    return [round(float(v), 1) for v in np.percentile(np.concatenate(found), (10, 50, 90))]


def main() -> None:
    """Train if needed, measure, and write the timbre and its card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=HARMONICS)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    solos = load(find(options.recordings), options.cache)
    shape = Shape(128, HARMONICS[options.name], 24000)
    settings = Settings(options.minutes, threads=options.threads, room=options.name in IN_ROOMS)
    trainer = Trainer(shape, solos, settings)
    if options.checkpoint and options.checkpoint.exists():
        trainer.load(options.checkpoint)
    if trainer.elapsed < 60 * options.minutes:

        def report(progress: Progress) -> None:
            print(f"{progress.fraction:.3f} loss {progress.validation:.3f}, best {progress.best:.3f}", flush=True)
            if options.checkpoint:
                trainer.save(options.checkpoint)

        trainer.run(report)
    origin = ORIGINS[options.name]
    path = options.out / f"{options.name}.safetensors"
    save_timbre(path, trainer, solos, options.name, {"licence": origin["licence"]})
    findings, pieces, _ = examine(path, trainer.held_out)
    timbre = read_timbre(path)
    card = {
        "name": options.name,
        **origin,
        "split": "every eighth recording held out"
        if len(solos) >= MANY
        else "the last tenth of each recording held out",
        "architecture": f"DDSP: {shape.harmonics} harmonics, 65 bands of noise, "
        + (f"a room of {len(timbre.reverb)} taps; " if settings.room else "dry; ")
        + f"GRU of {shape.hidden}; {sum(w.size for w in timbre.decoder.w.values()):,} weights, 48 kHz, 250 Hz",
        "habits": {key: round(value, 3) for key, value in asdict(timbre.habits).items()},
        "centroid_hz": brightness(trainer.learned),
        "training": {
            "command": f"python demos/timbre/make_timbre.py {options.name} RECORDINGS --minutes {options.minutes:g}",
            "steps": trainer.step,
            "minutes": round(trainer.elapsed / 60, 1),
            "machine": "one core of a server CPU, shared with other work",
        },
        "held_out": findings.as_dict(),
        "measure": f"{len(pieces)} excerpts never trained on; loudness_l1 in standard deviations of their loudness; "
        "f0 in semitones over frames with a confidence of 0.85 in both; the input itself, played back, would have a "
        "spectral loss of 0: `sine` is its pitch and loudness alone",
    }
    (options.out / f"{options.name}.card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print("\n".join(findings.words))


if __name__ == "__main__":
    main()
