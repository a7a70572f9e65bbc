"""Judge notes of a latent network by a classifier of our own, its embedding, and clusters.

    OMP_NUM_THREADS=1 python -m demos.instruments.judge_latent presets.safetensors [--count 300] [--json]

The classifier learns to tell the 128 programs of a SoundFont by recorded notes. It never hears the held-out pitches.
Then it names the program of held-out recorded notes, and of the same notes played by the network. Measures:

- accuracy: share of notes whose program is recognised; `first_five` counts the five most likely ones.
- entropy: of its answers, in bits, a mean over notes.
- FAD: Frechet distance of two sets of notes in its embedding, between normal distributions.
- NDB and JS: differences of shares among 50 clusters of recorded notes, as in `demos.drums.judges`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from scipy.linalg import sqrtm
from torch import nn

from bridge.cli.progress import Standing
from demos.drums.judges import cluster_shares
from demos.instruments.frame_cache import program_held_out
from demos.instruments.note_cache import DEFAULT_FOLDER, LEAD_SECONDS, RATE, Note, Plan, ProgramFiles, held_out
from instruments.general_midi import sound_name
from instruments.latent import synthesize
from instruments.latent.distance import WINDOW_SECONDS, band_powers
from instruments.latent.files import LatentFile, read_network
from instruments.latent.frames import parameters_of
from neural_fx.files import replacing

CACHE = Path("~/.cache/neural-fx/judges").expanduser()
EDGES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 1.7, 2.2, 2.9)
"""Seconds between which the mean power of each band is taken. The key is released after 1.5 s."""
BANDS = 64
FLOOR_DB = -80.0
EMBEDDING = 64
STEPS = 1500
CLUSTERS = 50


@dataclass
class Sounds:
    """What is known of some notes.

    Attributes:
        numbers: of each note, (notes, parts of `EDGES` * BANDS), about 0 to 1.
        programs: from 0, (notes,).
        pitches: MIDI notes, (notes,).
    """

    numbers: np.ndarray
    programs: np.ndarray
    pitches: np.ndarray

    def where(self, chosen: np.ndarray) -> Sounds:
        """Return some of the notes."""
        return Sounds(self.numbers[chosen], self.programs[chosen], self.pitches[chosen])


def numbers_of(sound: np.ndarray) -> np.ndarray:
    """Return the numbers that describe a note without its level, (parts * BANDS,).

    Args:
        sound: from the onset, at `RATE`, (samples,).
    """
    window = round(WINDOW_SECONDS * RATE)
    levels = band_powers(sound, RATE, window, "mel")
    edges = [round(edge * RATE / (window // 4)) for edge in EDGES]
    parts = np.stack([levels[a:b].mean(axis=0) for a, b in pairwise(edges)])
    decibels = 10 * np.log10(np.maximum(parts / max(parts.max(), 1e-12), 10 ** (FLOOR_DB / 10)))
    return (decibels / -FLOOR_DB + 1).astype(np.float32).ravel()


def long_notes() -> list[Note]:
    """Return the notes that are held for 1.5 s."""
    return [note for note in Plan().notes() if note.hold_seconds > 1]


def recorded(soundfont: str, progress: Standing) -> Sounds:
    """Return all long notes of a SoundFont that sound. They are kept in a cache.

    Args:
        soundfont: name of the folder of rendered notes.
        progress: to show.
    """
    path = CACHE / f"{soundfont}.npz"
    if not path.is_file():
        rows = []
        for program in range(128):
            progress.show(program / 128, f"listening to program {program + 1}")
            files = ProgramFiles(DEFAULT_FOLDER / soundfont, program)
            for note in long_notes():
                sound = files.read(note)[round(LEAD_SECONDS * RATE) :]
                if np.abs(sound).max() > 1e-4:
                    rows.append((numbers_of(sound), program, note.pitch))
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            numbers, programs, pitches = (np.array(column) for column in zip(*rows))
            np.savez(file, numbers=numbers.astype(np.float16), programs=programs, pitches=pitches)
    with np.load(path) as file:
        return Sounds(file["numbers"].astype(np.float32), file["programs"], file["pitches"])


def played(file: LatentFile, notes: list[tuple[int, Note]], progress: Standing) -> Sounds:
    """Return notes as the network plays them.

    Args:
        file: with presets that have the names of General MIDI's programs.
        notes: programs and their notes.
        progress: to show.
    """
    numbers = []
    for i, (program, note) in enumerate(notes):
        progress.show(i / len(notes), "playing")
        release = round(note.hold_seconds * 400)
        samples = round((note.slot_seconds - LEAD_SECONDS) * RATE)
        timbre = file.presets[sound_name(program)]
        frames = file.network.play(timbre, note.pitch, note.velocity, release, samples * 400 // RATE)
        numbers.append(numbers_of(synthesize(parameters_of(frames, samples, 0))))
    programs, pitches = (np.array(column) for column in zip(*((p, note.pitch) for p, note in notes)))
    return Sounds(np.array(numbers), programs, pitches)


class Classifier:
    """Tells the program of a note.

    Args:
        sounds: recorded notes to learn from.
    """

    def __init__(self, sounds: Sounds) -> None:
        torch.manual_seed(1)
        random = np.random.default_rng(1)
        self._first = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(sounds.numbers.shape[1], 256), nn.SiLU(), nn.Dropout(0.3)
        )
        self._embedding = nn.Sequential(nn.Linear(256, EMBEDDING), nn.SiLU())
        self._last = nn.Linear(EMBEDDING, 128)
        layers = nn.ModuleList([self._first, self._embedding, self._last])
        optimizer = torch.optim.AdamW(layers.parameters(), 2e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        numbers, programs = torch.from_numpy(sounds.numbers), torch.from_numpy(sounds.programs)
        for _ in range(STEPS):
            batch = torch.from_numpy(random.integers(0, len(programs), 256))
            noisy = numbers[batch] + 0.03 * torch.randn(256, numbers.shape[1])
            found = self._last(self._embedding(self._first(noisy)))
            loss = nn.functional.cross_entropy(found, programs[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        layers.eval()

    @torch.no_grad()
    def embed(self, sounds: Sounds) -> np.ndarray:
        """Return the embeddings, (notes, EMBEDDING)."""
        return self._embedding(self._first(torch.from_numpy(sounds.numbers))).numpy()

    @torch.no_grad()
    def answers(self, sounds: Sounds) -> np.ndarray:
        """Return the probabilities of the programs, (notes, 128)."""
        return self._last(torch.from_numpy(self.embed(sounds))).softmax(dim=1).numpy()

    def report(self, sounds: Sounds) -> dict[str, float]:
        """Return how well programs are recognised, and how sure the answers are."""
        answers = self.answers(sounds)
        order = np.argsort(-answers, axis=1)
        right = order == sounds.programs[:, None]
        entropy = -(answers * np.log2(np.maximum(answers, 1e-12))).sum(axis=1)
        return {
            "accuracy": round(float(right[:, 0].mean()), 3),
            "first_five": round(float(right[:, :5].any(axis=1).mean()), 3),
            "entropy": round(float(entropy.mean()), 2),
            "notes": len(answers),
        }


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Frechet distance of normal distributions with the means and covariances of two sets.

    Args:
        one: (notes, EMBEDDING).
        other: (notes, EMBEDDING).
    """
    a, b = np.cov(one.T), np.cov(other.T)
    root = np.real(sqrtm(a @ b))
    difference = one.mean(axis=0) - other.mean(axis=0)
    return round(float(difference @ difference + np.trace(a + b - 2 * root)), 3)


def judged(file: LatentFile, soundfont: str, count: int, progress: Standing) -> dict[str, object]:
    """Return all measures.

    Args:
        file: with presets that have the names of General MIDI's programs.
        soundfont: name of the folder of rendered notes.
        count: notes to play.
        progress: to show.
    """
    real = recorded(soundfont, progress)
    out = np.array([held_out(int(p), int(pitch)) for p, pitch in zip(real.programs, real.pitches)])
    unseen = np.array([program_held_out(int(p)) for p in real.programs])
    progress.show(0.0, "training the classifier")
    classifier = Classifier(real.where(~out))
    random = np.random.default_rng(7)
    sounding = set(zip(real.programs.tolist(), real.pitches.tolist()))
    known = [p for p in range(128) if sound_name(p) in file.presets]
    every = [(p, note) for p in known for note in long_notes() if (p, note.pitch) in sounding]
    groups = {
        "held-out pitches": [(p, n) for p, n in every if held_out(p, n.pitch) and not program_held_out(p)],
        "held-out programs": [(p, n) for p, n in every if program_held_out(p)],
        "all": every,
    }
    made = {
        name: played(file, [notes[i] for i in random.permutation(len(notes))[:count]], progress)
        for name, notes in groups.items()
    }
    tested = real.where(out & ~unseen)
    embedded = {name: classifier.embed(sounds) for name, sounds in made.items()}
    clusters = cluster_shares(real.where(~out).numbers, CLUSTERS)
    return {
        "classifier": {
            "recorded, held-out pitches": classifier.report(tested),
            "recorded, held-out programs' other pitches": classifier.report(real.where(out & unseen)),
            "network, held-out pitches": classifier.report(made["held-out pitches"]),
            "network, held-out programs": classifier.report(made["held-out programs"]),
        },
        "frechet": {
            "recorded to recorded": frechet(classifier.embed(real.where(~out & ~unseen)), classifier.embed(tested)),
            "network to recorded": frechet(classifier.embed(tested), embedded["held-out pitches"]),
        },
        "clusters": {
            "recorded, held-out pitches": clusters.compare(real.where(out).numbers),
            "network": clusters.compare(made["all"].numbers),
        },
    }


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--soundfont", default="MuseScore_General_Full", help="name of the folder of rendered notes")
    parser.add_argument("--count", type=int, default=300, help="notes that the network plays, for each measure")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with Standing(Console(stderr=True), "judging") as progress:
        found = judged(read_network(options.file), options.soundfont, options.count, progress)
    if options.json:
        print(json.dumps(found))
        return
    for title, rows in found.items():
        assert isinstance(rows, dict)
        print(title)
        for name, row in rows.items():
            print(f"  {name}: {row}")


if __name__ == "__main__":
    main()
