"""Collect drum hits with clear licences for training, in a cache outside the repository.

    python -m demos.drums.collect_hits [--cache FOLDER] [--json]

Needs the Debian packages fluidsynth, musescore-general-soundfont-lossless, fluid-soundfont-gm (MIT), sonic-pi-samples
(its CC0 files) and hydrogen-drumkits (rumpf_kit, CC-BY 3.0, only for tests). A run that was stopped continues where it
was: each kit is one file, written whole or not at all.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr
from rich.console import Console

from bridge.cli.progress import Standing
from demos.drums.hit_store import DEFAULT_CACHE, duplicates_removed, kit_file, write_hits
from instruments.drums.bands import RATE
from instruments.drums.classes import CLASSES, GENERAL_MIDI
from instruments.drums.training.hits import Hit

SOUNDFONTS = {
    "musescore": Path("/usr/share/sounds/sf2/MuseScore_General_Full.sf2"),
    "fluid": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
}
SONIC_PI = Path("/usr/share/sonic-pi/samples")
SONIC_PI_COPYRIGHT = Path("/usr/share/doc/sonic-pi-samples/copyright")
RUMPF = Path("/usr/share/hydrogen/data/drumkits/rumpf_kit_z01_h2")

LAST_KIT = 42  # program of the last drum kit; orchestral and marching kits follow, and map other sounds to the keys
VELOCITIES = (118, 64)
SLOT_SECONDS = 3.0
HELD_SECONDS = 2.8

SONIC_PI_CLASSES = (
    (r"bd_.*|drum_bass_.*|drum_heavy_kick|elec_(hollow|soft)_kick", "kick"),
    (r"sn_.*|drum_snare_.*|elec_(filt_|hi_|lo_|mid_)?snare", "snare"),
    (r"drum_cymbal_(closed|pedal)", "closed_hat"),
    (r"drum_cymbal_open", "open_hat"),
    (r"drum_cymbal_(hard|soft)", "ride"),
    (r"drum_splash_.*|elec_cymbal", "crash"),
    (r"drum_tom_hi_.*", "high_tom"),
    (r"drum_tom_mid_.*", "mid_tom"),
    (r"drum_tom_lo_.*|elec_fuzz_tom", "low_tom"),
    (r"drum_cowbell", "cowbell"),
    (r"elec_(wood|tick)", "rim"),
    (r"perc_snap2?", "clap"),
)
"""Patterns of file names, and the class that they mean."""

RUMPF_CLASSES = (
    ("bass drum", "kick"),
    ("stick", "rim"),
    ("snare", "snare"),
    ("clap", "clap"),
    ("hi-hat open", "open_hat"),
    ("hi-hat", "closed_hat"),
    ("low tom", "low_tom"),
    ("middle tom", "mid_tom"),
    ("high tom", "high_tom"),
    ("crash", "crash"),
    ("cymbal", "crash"),
    ("ride", "ride"),
    ("cowbell", "cowbell"),
)
"""Words in the names of the test kit, and the class that they mean. The first that fits counts."""


def drum_kits(soundfont: Path) -> Iterator[tuple[str, int]]:
    """Yield name and program of every drum kit of a SoundFont, from its list of presets."""
    data = soundfont.read_bytes()
    start = data.rfind(b"phdr")
    size = int.from_bytes(data[start + 4 : start + 8], "little")
    for at in range(start + 8, start + 8 + size - 38, 38):
        name = data[at : at + 20].split(b"\0")[0].decode("latin-1")
        program = int.from_bytes(data[at + 20 : at + 22], "little")
        bank = int.from_bytes(data[at + 22 : at + 24], "little")
        if bank == 128 and program <= LAST_KIT:
            yield name, program


def kit_score(program: int) -> tuple[mido.MidiFile, list[tuple[int, int]]]:
    """Return a MIDI file that plays each key of a kit at each velocity, and what it plays.

    Args:
        program: of the kit.

    Returns:
        The file, and key and velocity of each slot of `SLOT_SECONDS`.
    """
    track = mido.MidiTrack([mido.Message("program_change", channel=9, program=program)])
    slots = [(key, velocity) for key in GENERAL_MIDI for velocity in VELOCITIES]
    ticks = 1000  # per quarter note of half a second
    held = round(HELD_SECONDS * 2 * ticks)
    rest = round(SLOT_SECONDS * 2 * ticks) - held
    for key, velocity in slots:
        track.append(mido.Message("note_on", channel=9, note=key, velocity=velocity))
        track.append(mido.Message("note_off", channel=9, note=key, time=held))
        track.append(mido.Message("control_change", channel=9, control=120, value=0))
        track.append(mido.Message("control_change", channel=9, control=7, value=100, time=rest))
    return mido.MidiFile(ticks_per_beat=ticks, tracks=[track]), slots


def soundfont_hits(source: str, kit: str, program: int) -> list[Hit]:
    """Render a kit of a SoundFont, without reverb and chorus, and return its hits."""
    score, slots = kit_score(program)
    with tempfile.TemporaryDirectory() as folder:
        midi = Path(folder) / "kit.mid"
        wav = Path(folder) / "kit.wav"
        score.save(midi)
        command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(RATE), "-T", "wav"]
        command += ["-O", "float", "-F", str(wav), str(SOUNDFONTS[source]), str(midi)]
        subprocess.run(command, check=True, capture_output=True)
        audio = soundfile.read(wav, dtype="float32", always_2d=True)[0].mean(1)
    hits = []
    for index, (key, velocity) in enumerate(slots):
        start = round(index * SLOT_SECONDS * RATE)
        part = audio[start : start + round(HELD_SECONDS * RATE)]
        name = f"{kit} key {key} velocity {velocity}"
        hits.append(Hit(part, GENERAL_MIDI[key].drum, source, name, velocity))
    return hits


def sonic_pi_hits() -> list[Hit]:
    """Return the drum hits of Sonic Pi whose licence is CC0 by the package's copyright file."""
    free = set()
    for paragraph in SONIC_PI_COPYRIGHT.read_text(encoding="utf-8").split("\n\n"):
        if re.search(r"^License: CC0\s*$", paragraph, re.MULTILINE):
            free.update(re.findall(r"etc/samples/(\w+)\.flac", paragraph))
    hits = []
    for path in sorted(SONIC_PI.glob("*.flac")):
        drum = next((drum for pattern, drum in SONIC_PI_CLASSES if re.fullmatch(pattern, path.stem)), None)
        if drum is not None and path.stem in free:
            hits.append(Hit(read_mono(path), drum, "sonic-pi", path.stem))
    return hits


def rumpf_hits() -> list[Hit]:
    """Return the hits of the test kit. Those without a telling name have the class ``""``."""
    text = (RUMPF / "drumkit.xml").read_text(encoding="utf-8")
    hits = []
    for instrument in re.findall(r"<instrument>(.*?)</instrument>", text, re.DOTALL):
        name = re.findall(r"<name>(.*?)</name>", instrument)[0]
        drum = next((drum for words, drum in RUMPF_CLASSES if words in name), "")
        for file in re.findall(r"<filename>(.*?)</filename>", instrument):
            hits.append(Hit(read_mono(RUMPF / file), drum, "rumpf", file))
    return hits


def read_mono(path: Path) -> np.ndarray:
    """Return a file's audio, its channels averaged, at `RATE`."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(audio.mean(1), rate, RATE), np.float32)


def main() -> None:
    """Collect all hits, remove duplicates, and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    options = parser.parse_args()
    console = Console(stderr=True)
    missing = [str(path) for path in (*SOUNDFONTS.values(), SONIC_PI, RUMPF) if not path.exists()]
    if missing:
        sys.exit(f"missing: {', '.join(missing)}; install the packages that --help lists")
    options.cache.mkdir(parents=True, exist_ok=True)
    jobs = [(source, kit, program) for source, path in SOUNDFONTS.items() for kit, program in drum_kits(path)]
    with Standing(console, "drum hits") as progress:
        for index, (source, kit, program) in enumerate(jobs):
            progress.show(index / len(jobs), f"{source}: {kit}")
            target = kit_file(options.cache, source, kit)
            if not target.exists():
                write_hits(target, soundfont_hits(source, kit, program))
        write_hits(kit_file(options.cache, "sonic-pi", "samples"), sonic_pi_hits())
        write_hits(kit_file(options.cache, "rumpf", "kit"), rumpf_hits())
        progress.show(0.98, "removing duplicates")
        summary = duplicates_removed(options.cache)
    if options.json:
        print(json.dumps(summary, indent=2))
        return
    for source, counts in summary.items():
        listed = ", ".join(f"{drum or 'unnamed'} {counts[drum]}" for drum in (*CLASSES, "") if counts.get(drum))
        print(f"{source}: {sum(counts.values())} hits: {listed}")


if __name__ == "__main__":
    main()
