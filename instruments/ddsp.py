"""Play the timbres of `neural_fx.timbre` from notes: harmonics and noise (DDSP, Engel et al. 2020)."""

from __future__ import annotations

from pathlib import Path

from instruments.base import PLAYING, Family, Instrument
from instruments.compiled_voices import CompiledVoices
from instruments.ddsp_voices import DDSPVoices
from instruments.families import InstrumentFamily
from neural_fx.engines import cpu
from neural_fx.formats.archive import archive_kind
from neural_fx.parameters import Parameter
from neural_fx.timbre.files import FORMAT, Timbre
from neural_fx.timbre.library import TIMBRES, chosen, timbre_card
from neural_fx.timbre.synthesizer import BREATH, BRIGHTNESS, MORPH, REVERB

PARAMETERS = (
    *PLAYING,
    BRIGHTNESS,
    Parameter("vibrato", 0, 4, 1, description="scales the vibrato, which begins some time into a note"),
    BREATH,
    MORPH,
    REVERB,
)


class DDSP(Instrument):
    """A timbre played from MIDI, with up to eight voices.

    Attack, release and vibrato are those of the recordings. Velocity sets the loudness, and with it the colour. These
    controllers are supported:

    - 1 vibrato, 2 and 11 dynamics, 7 volume, 64 sustain, 74 brightness;
    - pitch bend;
    - aftertouch, which adds loudness and vibrato.

    Args:
        timbre: the name of a bundled timbre, the path of a timbre file, or a `Timbre`.
        morph_to: a second timbre, which `morph` moves to.
        parameters: start values of `octave`, `tuning`, `bend_range`, `voices`, `glide`, `loudness_db`, `brightness`,
            `vibrato`, `breath`, `morph` and `reverb`.

    Raises:
        NeuralFXError: there is no timbre of that name. Lists them.
        ModelError: the file is not a timbre file.
        ParameterError: an unknown parameter or a value out of range.
    """

    PARAMETERS = PARAMETERS
    brightness: float
    vibrato: float
    breath: float
    morph: float
    reverb: float

    def __init__(
        self,
        timbre: str | Path | Timbre = "violin",
        *,
        morph_to: str | Path | Timbre | None = None,
        **parameters: float,
    ) -> None:
        super().__init__(**parameters)
        self.timbres, self.sources = chosen(timbre, morph_to)

    def open_family(self) -> Family:
        return CompiledVoices(self) if cpu.available() else DDSPVoices(self)

    @property
    def sound(self) -> str:
        return self.timbres[0].name

    def __repr__(self) -> str:
        return self.described(f"instruments.DDSP {' to '.join(t.name for t in self.timbres)!r}")


def _sources(instrument: DDSP) -> dict[str, str | Path]:
    return dict(zip(("instrument", "morph_to"), instrument.sources, strict=False))


def _is_archive(path: Path) -> bool:
    """Return whether a file is a timbre, or an archive that does not say what it is: reading it explains why."""
    with path.open("rb") as file:
        return file.read(10)[8:] == b'{"' and archive_kind(path) in (None, FORMAT)


FAMILY = InstrumentFamily(
    name="ddsp",
    kind=DDSP,
    sounds=lambda: TIMBRES,
    open=DDSP,
    matches=_is_archive,
    options=("morph_to",),
    sources=_sources,
    card=timbre_card,
)
