"""Write a drum kit as WAV files, with an SFZ file and a Hydrogen ``drumkit.xml``, for other samplers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from instruments.drums.bands import RATE, Array
from instruments.drums.classes import CHOKED_BY, GENERAL_MIDI, Piece
from instruments.drums.instrument import Drums
from instruments.drums.kit import LAYERS
from instruments.drums.voices import LEVELS_DB, VELOCITY_DB
from neural_fx.files import replacing
from neural_fx.parameters import decibels
from neural_fx.render import write_audio

SFZ = "kit.sfz"
HYDROGEN = "drumkit.xml"
HAT_GROUP = 1


class Sample(NamedTuple):
    """A file of a kit.

    Attributes:
        file: its name.
        key: MIDI note.
        piece: what the key plays.
        layer: 0 for the softest strokes.
    """

    file: str
    key: int
    piece: Piece
    layer: int

    @property
    def velocities(self) -> tuple[int, int]:
        """Lowest and highest MIDI velocity, as `Kit.hit` chooses layers."""
        first = [velocity for velocity in range(1, 128) if min(LAYERS - 1, int(velocity / 127 * LAYERS)) == self.layer]
        return first[0], first[-1]


def samples() -> list[Sample]:
    """Return all files of a kit, in the order of their keys."""
    return [
        Sample(f"{key}-{piece.drum.replace('_', '-')}-{layer + 1}.wav", key, piece, layer)
        for key, piece in GENERAL_MIDI.items()
        for layer in range(LAYERS)
    ]


def kit_files() -> list[str]:
    """Return the names of all files that `write_kit` writes."""
    return [*(sample.file for sample in samples()), SFZ, HYDROGEN]


def write_kit(drums: Drums, folder: Path, advance: Callable[[], None] = lambda: None) -> list[Path]:
    """Write a kit as it sounds now.

    The files have the balance of the kit at the hardest stroke. How velocity changes the level is written in the SFZ.

    Args:
        drums: the instrument.
        folder: made if it does not exist. Files of an earlier kit are replaced.
        advance: called after each file.

    Returns:
        The paths of all files.
    """
    drums.finish()
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples():
        level = LEVELS_DB[sample.piece.drum] + drums.class_level_db(sample.piece.drum) + drums.loudness_db
        write_audio(folder / sample.file, leveled(drums.kit.layer(sample.piece, sample.layer), level), RATE, "PCM_24")
        advance()
    with replacing(folder / SFZ) as part:
        part.write_text(sfz_text(drums.sound), encoding="utf-8")
    with replacing(folder / HYDROGEN) as part:
        part.write_text(hydrogen_text(drums.sound), encoding="utf-8")
    return [folder / name for name in kit_files()]


def leveled(audio: Array, level_db: float) -> Array:
    """Return audio with a peak of some dB, and at most 0 dB."""
    return np.asarray(audio * np.float32(decibels(min(0.0, level_db))), np.float32)


def sfz_text(name: str) -> str:
    """Return the SFZ file of a kit."""
    curve = [f"amp_velcurve_{v}={decibels(VELOCITY_DB * (v / 127 - 1)):.4f}" for v in (1, *range(16, 127, 16), 127)]
    lines = [f"// {name} by neural-fx", "<global>", "loop_mode=one_shot", "amp_veltrack=100", *curve, ""]
    for sample in samples():
        low, high = sample.velocities
        line = f"<region> sample={sample.file} key={sample.key} lovel={low} hivel={high}"
        line += " pitch_keytrack=0"
        if sample.piece.drum in CHOKED_BY:
            line += f" off_by={HAT_GROUP}"
        if sample.piece.drum in CHOKED_BY.values():
            line += f" group={HAT_GROUP}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def hydrogen_text(name: str) -> str:
    """Return the Hydrogen file of a kit."""
    root = ElementTree.Element("drumkit_info")
    _add(root, name=name, author="neural-fx", license="MIT", info="Drums made by a network, not recorded.")
    listed = ElementTree.SubElement(root, "instrumentList")
    by_key: dict[int, list[Sample]] = {}
    for sample in samples():
        by_key.setdefault(sample.key, []).append(sample)
    hats = {*CHOKED_BY, *CHOKED_BY.values()}
    for number, (key, layers) in enumerate(by_key.items()):
        drum = layers[0].piece.drum
        entry = ElementTree.SubElement(listed, "instrument")
        _add(entry, id=number, name=f"{drum.replace('_', ' ')} {key}", volume=1, isMuted="false", pan_L=1, pan_R=1)
        _add(entry, Attack=0, Decay=0, Sustain=1, Release=1000, muteGroup=HAT_GROUP if drum in hats else -1)
        _add(entry, midiOutChannel=9, midiOutNote=key)
        for sample in layers:
            low, high = sample.velocities
            layer = ElementTree.SubElement(entry, "layer")
            first = 0.0 if sample.layer == 0 else low / 128
            _add(layer, filename=sample.file, min=first, max=(high + 1) / 128, gain=1, pitch=0)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add(parent: ElementTree.Element, **fields: object) -> None:
    for name, value in fields.items():
        ElementTree.SubElement(parent, name).text = str(value)
