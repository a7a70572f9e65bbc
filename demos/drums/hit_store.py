"""Store drum hits in a cache, remove duplicates among them, and split them into training and held-out sounds."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np

from instruments.drums.training.hits import Hit, fingerprint, grouped, trimmed
from neural_fx.files import replacing

DEFAULT_CACHE = Path("~/.cache/neural-fx/drums").expanduser()
TEST_SOURCES = ("rumpf",)


def kit_file(cache: Path, source: str, kit: str) -> Path:
    """Return the file of a kit in the cache."""
    return cache / f"{source}-{re.sub('[^a-z0-9]+', '-', kit.lower())}.npz"


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
