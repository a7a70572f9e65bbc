"""Store drum hits in a cache, remove duplicates among them, and split them into training and held-out sounds."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruments.drums.bands import FLOOR_DB, band_levels, limited
from neural_fx.files import replacing

RATE = 48000
DEFAULT_CACHE = Path("~/.cache/neural-fx/drums").expanduser()
ONSET = 10 ** (-40 / 20)  # of the peak: where a hit begins
END = 10 ** (-66 / 20)  # of the peak: where it ends
LEAD_SAMPLES = 24
DUPLICATE_DB = 1.0
SIBLING_DB = 3.0
TEST_SOURCES = ("rumpf",)


@dataclass
class Hit:
    """A recorded drum hit.

    Attributes:
        audio: (samples,) float32 at `RATE`.
        drum: name of the class, or empty if it is not known.
        source: where it comes from, such as ``sonic-pi``.
        name: of the sound within the source.
        velocity: 1..127, with which it was played.
        split: ``train``, ``held-out`` or ``test``.
    """

    audio: np.ndarray
    drum: str
    source: str
    name: str
    velocity: int = 118
    split: str = "train"


def kit_file(cache: Path, source: str, kit: str) -> Path:
    """Return the file of a kit in the cache."""
    return cache / f"{source}-{re.sub('[^a-z0-9]+', '-', kit.lower())}.npz"


def trimmed(audio: np.ndarray) -> np.ndarray | None:
    """Return a hit from its onset to its end, at a peak of 1, or None if it is silent or too short."""
    peak = float(np.abs(audio).max(initial=0.0))
    if peak < 1e-4:
        return None
    audio = audio / peak
    loud = np.flatnonzero(np.abs(audio) > ONSET)
    audible = np.flatnonzero(np.abs(audio) > END)
    start = max(0, loud[0] - LEAD_SAMPLES)
    cut = audio[start : audible[-1] + 1].astype(np.float32)
    return cut if len(cut) > 480 else None


def write_hits(path: Path, hits: list[Hit]) -> None:
    """Write hits to one file. Silent ones are left out."""
    kept = [(hit, cut) for hit in hits if (cut := trimmed(hit.audio)) is not None]
    about = [[hit.drum, hit.source, hit.name, hit.velocity, len(cut)] for hit, cut in kept]
    audio = np.concatenate([cut for _, cut in kept]) if kept else np.zeros(0, np.float32)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, audio=np.round(32767 * audio).astype(np.int16), about=np.array(json.dumps(about)))


def read_hits(path: Path) -> list[Hit]:
    """Read the hits of one file."""
    with np.load(path) as stored:
        audio = stored["audio"].astype(np.float32) / 32767
        about = json.loads(str(stored["about"]))
    hits = []
    start = 0
    for drum, source, name, velocity, length in about:
        hits.append(Hit(audio[start : start + length], drum, source, name, velocity))
        start += length
    return hits


def duplicates_removed(cache: Path) -> dict[str, dict[str, int]]:
    """Choose the hits of a cache that differ, split them, and write the choice to ``index.json``.

    Two hits of one class are duplicates if their band levels differ by less than `DUPLICATE_DB` on average where they
    sound. Hits that differ by less than `SIBLING_DB` are kept, but fall into the same split. So no held-out sound has a
    close relative among the training sounds.

    Returns:
        Number of hits by source and class.
    """
    entries = []
    prints = []
    for path in sorted(cache.glob("*.npz")):
        for number, hit in enumerate(read_hits(path)):
            entries.append((path.name, number, hit.drum, hit.source, hit.name))
            prints.append(fingerprint(hit.audio))
    groups = grouped([entry[2] for entry in entries], np.array(prints))
    chosen = []
    for entry, group in zip(entries, groups):
        if group is None:
            continue
        file, number, drum, source, name = entry
        first = entries[group]
        digest = hashlib.sha256(f"{first[3]}/{first[4]}".encode()).digest()
        split = "test" if source in TEST_SOURCES else "held-out" if digest[0] < 256 * 0.12 else "train"
        chosen.append({"file": file, "number": number, "drum": drum, "source": source, "name": name, "split": split})
    with replacing(cache / "index.json") as part:
        part.write_text(json.dumps(chosen, indent=1), encoding="utf-8")
    counts: dict[str, Counter[str]] = {}
    for item in chosen:
        counts.setdefault(f"{item['source']} {item['split']}", Counter())[str(item["drum"])] += 1
    return {key: dict(value) for key, value in sorted(counts.items())}


def fingerprint(audio: np.ndarray) -> np.ndarray:
    """Return the (24 * 36,) coarse band levels of a hit in dB, for comparison."""
    levels = limited(band_levels(audio))
    return levels.reshape(24, 4, 36, 4).mean((1, 3)).ravel()


def distances_to(fingerprint: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the mean difference in dB to each of the others, over the cells in which either sounds."""
    sounding = (fingerprint[None] > FLOOR_DB + 3) | (others > FLOOR_DB + 3)
    difference = np.abs(others - fingerprint[None]) * sounding
    return np.asarray(difference.sum(1) / np.maximum(sounding.sum(1), 1))


def grouped(drums: list[str], prints: np.ndarray) -> list[int | None]:
    """Return the group of each hit, or None for a duplicate of an earlier one.

    Args:
        drums: classes of the hits.
        prints: (hits, values) fingerprints.

    Returns:
        The index of the first hit of the group.
    """
    groups: list[int | None] = list(range(len(drums)))
    labels = np.array(drums)
    for drum in sorted(set(drums)):
        members = np.flatnonzero(labels == drum)
        distances = np.array([distances_to(prints[i], prints[members]) for i in members])
        kept: list[int] = []
        parent = {int(i): int(i) for i in members}
        for a, i in enumerate(members):
            near = [b for b in kept if distances[a, b] < SIBLING_DB]
            if any(distances[a, b] < DUPLICATE_DB for b in near):
                groups[i] = None
                continue
            kept.append(a)
            for b in near:  # join the groups of all relatives
                old = parent[int(i)]
                new = parent[int(members[b])]
                parent = {member: new if root == old else root for member, root in parent.items()}
        for a in kept:
            groups[members[a]] = parent[int(members[a])]
    return groups


def load_index(cache: Path) -> list[Hit]:
    """Return all hits that the index lists, with their splits."""
    index = json.loads((cache / "index.json").read_text(encoding="utf-8"))
    files: dict[str, list[Hit]] = {}
    hits = []
    for item in index:
        if item["file"] not in files:
            files[item["file"]] = read_hits(cache / item["file"])
        hit = files[item["file"]][item["number"]]
        hit.split = item["split"]
        hits.append(hit)
    return hits
