"""Define how a family of instruments is trained on one-shots: `FamilyTrainer` and `FamilyTraining`.

`instruments.families.InstrumentFamily.trainer` returns the trainer of a family. It imports torch only then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from neural_fx.arrays import Audio
from neural_fx.training.course import Course

RATE = 48000

Show = Callable[[float, str], None]
"""Shows progress: the share that is done, 0 to 1, and a few words."""

Classes = Mapping[str, Sequence[str]]
"""Names of classes, and the words in file names that mean them, such as ``{"kick": ("kick", "bass drum", "bd")}``."""


@dataclass(frozen=True)
class OneShot:
    """One recorded sound.

    Attributes:
        name: path of its file within the folder.
        audio: (samples,) at `RATE`, one channel.
        pitch: MIDI note, or None for families without pitch.
        velocity: 1 to 127.
        kind: name of its class, or empty for families without classes.
        instrument: name of the instrument that played it.
    """

    name: str
    audio: Audio
    pitch: float | None = None
    velocity: int = 100
    kind: str = ""
    instrument: str = ""


@dataclass(frozen=True)
class TrainingSettings:
    """Settings that all families have.

    Attributes:
        minutes: wall time of the training.
        seed: random seed.
        threads: cores to use.
        from_scratch: whether to begin with random weights instead of the bundled ones.
    """

    minutes: float = 8.0
    seed: int = 0
    threads: int = 1
    from_scratch: bool = False


class Findings(Protocol):
    """What a report says of a training."""

    @property
    def words(self) -> Sequence[str]:
        """Sentences to print."""


class FamilyTraining(Protocol):
    """A training of one family. `neural_fx.training.trainer.BaseTrainer` has all but the last four methods.

    Attributes:
        course: steps and time so far.
    """

    course: Course

    @property
    def fraction(self) -> float:
        """Share of the training that is done, 0 to 1."""

    def run(self, *, tick: Callable[[Any], None]) -> object:
        """Train until the time is up. `tick` is called after every step."""

    def validate(self) -> object:
        """Measure the current weights."""

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""

    def load(self, path: Path) -> list[str]:
        """Continue from a checkpoint, and return remarks to print."""

    def progress_text(self, progress: Any) -> str:
        """Return a few words about the progress that `tick` got."""

    def result(self) -> str:
        """Return the best error so far in words."""

    def write(self, path: Path, name: str) -> None:
        """Write the best sound so far, whole or not at all.

        Args:
            path: the file, which the family's instruments open.
            name: of the sound.
        """

    def report(self, path: Path) -> Findings:
        """Write STEM.html and STEM.png beside a file that `write` wrote, and return what they say."""


class Related(NamedTuple):
    """How a one-shot is related to others.

    Attributes:
        group: index of the first one-shot of its group. Near relatives are of one group.
        duplicate_of: index of an earlier one-shot that is the same sound, or None.
    """

    group: int
    duplicate_of: int | None = None


def _unrelated(shots: Sequence[OneShot]) -> list[Related]:
    return [Related(index) for index in range(len(shots))]


@dataclass(frozen=True)
class FamilyTrainer:
    """How a family is trained.

    Attributes:
        start: function that prepares a training. It gets the one-shots, the settings, and shows its progress.
        pitched: whether every one-shot must have a pitch.
        classes: that one-shots can have. Where there are any, every one-shot must have one.
        least_seconds: shortest sound that can be learned.
        related: function that says which one-shots are duplicates or near relatives. Duplicates are left out, and
            relatives are held out together.
    """

    start: Callable[[Sequence[OneShot], TrainingSettings, Show], FamilyTraining]
    pitched: bool = False
    classes: Classes = field(default_factory=dict)
    least_seconds: float = 0.01
    related: Callable[[Sequence[OneShot]], Sequence[Related]] = _unrelated
