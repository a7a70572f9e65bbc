"""Register families of instruments, and open their sounds.

>>> open_instrument("violin").sound
'violin'
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instruments.base import Instrument
from instruments.training.contract import FamilyTrainer
from neural_fx.errors import NeuralFXError
from neural_fx.inputs import content_problem, file_problem, printable
from neural_fx.registry import Registry
from neural_fx.values import suggestion

_MOST_LISTED = 8
"""Sounds of a family that an error lists."""


def _no_card(sound: str) -> Mapping[str, Any]:
    return {}


def _no_file(path: Path) -> bool:
    return False


@dataclass(frozen=True)
class InstrumentFamily:
    """A family of instruments: one way to make sound, with any number of sounds.

    Attributes:
        name: such as ``ddsp``. If two families have a sound of the same name, ``NAME:SOUND`` tells them apart.
        kind: class of its instruments.
        sounds: function that returns the names of the sounds that come with the family.
        open: function that makes an instrument. It gets the name of a sound or the path of a file, then options and
            parameters by name.
        matches: function that returns whether an existing file is a sound of this family.
        options: names of further arguments of `open` that a board file may have. Each value is another sound or file,
            as for ``morph_to``.
        sources: function that returns what an instrument was made from, by field: ``instrument`` and the options that
            were used. A `Path` is a file.
        card: function that returns the data card of a sound that comes with the family: its data, licence and quality.
        trainer: function that returns how the family learns from one-shots; None if it cannot. It may import torch.
    """

    name: str
    kind: type[Instrument]
    sounds: Callable[[], Sequence[str]]
    open: Callable[..., Instrument]
    matches: Callable[[Path], bool] = _no_file
    options: tuple[str, ...] = ()
    sources: Callable[[Any], Mapping[str, str | Path]] | None = None
    card: Callable[[str], Mapping[str, Any]] = _no_card
    trainer: Callable[[], FamilyTrainer] | None = None


FAMILIES = Registry(
    "neural_fx.instruments",
    InstrumentFamily,
    built_in=(
        "instruments.ddsp:FAMILY",
        "instruments.drums:FAMILY",
        "instruments.latent.instrument:FAMILY",
        "instruments.autoregressive:WAVENET",
        "instruments.autoregressive:RECURRENT",
    ),
)
"""All families, in the order in which they are asked for a sound."""


def sound_names() -> list[str]:
    """Return the names of all sounds that come with the families. No name is repeated."""
    return list(dict.fromkeys(sound for family in FAMILIES for sound in family.sounds()))


def open_instrument(sound: str | Path, **settings: Any) -> Instrument:
    """Make an instrument of any family.

    Args:
        sound: a sound's name, ``FAMILY:NAME``, or the path of a sound's file.
        settings: options of the family, such as ``morph_to``, and parameters.

    Raises:
        NeuralFXError: there is no such sound, its file cannot be read, or the family has no such option.
        ParameterError: an unknown parameter, or a value out of range.
    """
    family, name = _resolve(sound)
    for option in _all_options():
        if option in settings and settings[option] is None:
            del settings[option]
        elif option in settings and option not in family.options:
            raise NeuralFXError(f"{sound}: instruments of the family {family.name} have no {option}")
    return family.open(name, **settings)


def family_of(instrument: Instrument) -> InstrumentFamily | None:
    """Return the family of an instrument, or None if it belongs to no family."""
    return next((family for family in FAMILIES if type(instrument) is family.kind), None)


def trainer_of(family: str) -> FamilyTrainer:
    """Return how a family learns from one-shots.

    Args:
        family: its name.

    Raises:
        NeuralFXError: there is no such family, or it cannot be trained. Lists those that can.
        MissingPackageError: a package that the training needs is not installed.
    """
    trained = [known.name for known in FAMILIES if known.trainer is not None]
    if family not in FAMILIES:
        raise NeuralFXError(
            f"unknown family {family!r}{suggestion(family, trained)}; can be trained: {', '.join(trained)}"
        )
    trainer = FAMILIES[family].trainer
    if trainer is None:
        raise NeuralFXError(f"the family {family} cannot be trained on one-shots; can be trained: {', '.join(trained)}")
    return trainer()


def sound_path(name: str, folder: Path) -> str | Path:
    """Resolve the name of a sound in a board file.

    Args:
        name: a sound's name, ``FAMILY:NAME``, or a path relative to the folder.
        folder: of the board file.

    Returns:
        The name unchanged, or the path of the file.
    """
    if name in sound_names() or name.partition(":")[0] in FAMILIES:
        return name
    return folder / os.path.expanduser(name) if Path(name).suffix or "/" in name else name


def _all_options() -> list[str]:
    return list(dict.fromkeys(option for family in FAMILIES for option in family.options))


def _resolve(sound: str | Path) -> tuple[InstrumentFamily, str | Path]:
    """Return the family of a sound, and the sound as the family knows it."""
    prefix, colon, rest = str(sound).partition(":")
    if colon and prefix in FAMILIES:
        return FAMILIES[prefix], rest
    for family in FAMILIES:
        if str(sound) in family.sounds():
            return family, str(sound)
    path = Path(sound)
    if path.suffix or os.path.lexists(path):
        return _family_of_file(path), path
    hint = suggestion(str(sound), sound_names())
    raise NeuralFXError(f"unknown instrument {str(sound)!r}{hint}; bundled: {_listed()}; or the path of a file")


def _listed() -> str:
    """Return the first sounds of each family, for errors."""
    parts = []
    for family in FAMILIES:
        sounds = list(family.sounds())
        left = len(sounds) - _MOST_LISTED
        parts.append(", ".join(sounds[:_MOST_LISTED]) + (f" and {left} more of {family.name}" if left > 0 else ""))
    more = " (see `neural-fx instruments`)" if any(len(family.sounds()) > _MOST_LISTED for family in FAMILIES) else ""
    return ", ".join(part for part in parts if part) + more


def _family_of_file(path: Path) -> InstrumentFamily:
    problem = file_problem(path, "an instrument's file")
    if problem is None:
        for family in FAMILIES:
            if family.matches(path):
                return family
        with path.open("rb") as file:
            problem = content_problem(file.read(256))
    known = ", ".join(FAMILIES.names())
    raise NeuralFXError(f"{printable(path)}: {problem or f'not the file of an instrument; known families: {known}'}")
