"""Play what is sung or played with the sound of another instrument: `TimbreTransfer`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.dry_wet import DryWet
from neural_fx.engines import cpu
from neural_fx.parameters import Parameter, Ramp
from neural_fx.processor import Processor, Spec
from neural_fx.resampled import ResampledStage
from neural_fx.timbre.analysis import CONFIDENT, HOP, RATE, WINDOW, Analysis, Analyzer
from neural_fx.timbre.compiled import CompiledTransfer
from neural_fx.timbre.files import Habits, Timbre
from neural_fx.timbre.library import chosen
from neural_fx.timbre.synthesizer import BREATH, BRIGHTNESS, MORPH, REVERB, Rooms, Score, Synthesizer

FRAME_RATE = RATE / HOP
_REST, _EVIDENCE = 10, 50  # frames without and with a pitch that are needed before the octave may change
_SLACK = 0.3  # octaves by which the mean pitch may lie outside a register
_AUDIBLE_DB = -70.0  # loudness from which a frame counts
FIT = {"audible_db": _AUDIBLE_DB, "slack_octaves": _SLACK, "rest": _REST, "evidence": _EVIDENCE}
"""Settings of `Fit`, for the compiled kernels."""
_KNOBS = ("octave", "pitch_correct", "loudness_db", "brightness", "vibrato", "breath", "morph", "adjust")

PARAMETERS = (
    Parameter("octave", -3, 3, 0, "octaves", 0, "transposes by octaves"),
    Parameter("pitch_correct", 0, 1, 0, description="pulls the pitch to the nearest semitone; keeps the vibrato"),
    Parameter("loudness_db", -40, 40, 0, "dB", description="changes the dynamics: softer or harder playing"),
    BRIGHTNESS,
    Parameter("vibrato", 0, 4, 1, description="scales the vibrato of the input"),
    BREATH,
    MORPH,
    REVERB,
    Parameter("adjust", 0, 1, 1, smoothing=0, description="1 fits the input to the timbre's register and dynamics"),
    Parameter("mix", 0, 1, 1, description="0 is the dry input, 1 the timbre"),
)


class TimbreTransfer(Processor):
    """An instrument that follows the pitch and loudness of its input (DDSP, Engel et al. 2020).

    The input is one melody line. Its channels are averaged, and every channel of the output gets the result. Where
    there is no clear pitch, only the instrument's noise follows. Silence stays silent. With `adjust`, the timbre plays
    in the register and dynamics of its training recordings, while the output keeps the level of the input.

    Args:
        timbre: the name of a bundled timbre, the path of a timbre file, or a `Timbre`.
        morph_to: a second timbre, which `morph` moves to.
        parameters: start values of `octave`, `pitch_correct`, `loudness_db`, `brightness`, `vibrato`, `breath`,
            `morph`, `reverb`, `adjust` and `mix`.

    Raises:
        NeuralFXError: there is no timbre of that name. Lists them.
        ModelError: the file is not a timbre file.
        ParameterError: an unknown parameter or a value out of range.
    """

    PARAMETERS = PARAMETERS
    octave: float
    pitch_correct: float
    loudness_db: float
    brightness: float
    vibrato: float
    breath: float
    morph: float
    reverb: float
    adjust: float
    mix: float

    def __init__(
        self,
        timbre: str | Path | Timbre = "violin",
        *,
        morph_to: str | Path | Timbre | None = None,
        **parameters: float,
    ) -> None:
        super().__init__(**parameters)
        self.timbres, self._sources = chosen(timbre, morph_to)

    @property
    def sources(self) -> tuple[str | Path, ...]:
        """Names of bundled timbres, and paths of the files of others."""
        return self._sources

    @property
    def latency_samples(self) -> int:
        """Half a window, a frame, and the look-ahead of the rate conversion: 25.3 ms at 48 kHz."""
        if self._spec is None:
            return 0
        # A conversion may round the end of a frame up by one more sample.
        return self._stage.latency_samples(WINDOW // 2 + HOP) + self._stage.converts

    def prepare(self, spec: Spec) -> None:
        self._stage = ResampledStage(spec.sample_rate, RATE, 1)
        open_voice = CompiledTransfer if cpu.available() else _Voice
        self._voice = open_voice(self.timbres, self._values, FIT)
        self._mix = Ramp(self._values["mix"], int(spec.sample_rate * blocks.SMOOTHING_SECONDS))
        self._dry_wet = DryWet(spec.channels)

    def process_block(self, block: Audio) -> Audio:
        mono = block.mean(0, dtype=np.float32)[None]
        wet = self._stage.back(self._voice.process(self._stage.into(mono)[0], self._values)[None])
        self._dry_wet.put(block)
        self._mix.aim(self._values["mix"])
        return self._dry_wet.blend(wet.repeat(len(block), 0), self._mix.next(wet.shape[1]))

    def __repr__(self) -> str:
        return self.described(f"neural_fx.TimbreTransfer {' to '.join(t.name for t in self.timbres)!r}")


class _Voice:
    """The same as `CompiledTransfer`, in numpy, for installations without the compiled kernels."""

    def __init__(self, timbres: tuple[Timbre, ...], knobs: Mapping[str, float], fit: Mapping[str, float]) -> None:
        self._analyzer = Analyzer()
        self._player = _Player(timbres, {name: knobs[name] for name in _KNOBS})
        self._rooms = Rooms(timbres, knobs["reverb"], knobs["morph"])

    def process(self, audio: NDArray[np.float32], knobs: Mapping[str, float]) -> NDArray[np.float32]:
        heard = self._analyzer.process(audio)
        if not len(heard.f0_hz):
            return np.zeros(0, np.float32)
        direct = self._player.process(heard, knobs)
        return self._rooms.process(direct, knobs["reverb"], knobs["morph"])


class _Player:
    """Turns the frames of an analysis into audio. The first frame begins the audio, and each later one ends a hop."""

    def __init__(self, timbres: tuple[Timbre, ...], values: dict[str, float]) -> None:
        self.timbres = timbres
        self.synthesizer = Synthesizer(timbres)
        self.ramps = {name: Ramp(value, blocks.TIMBRE_SMOOTHING_FRAMES) for name, value in values.items()}
        self.course = _Course()
        self.fit = Fit()
        self.begun = False

    def process(self, heard: Analysis, values: Mapping[str, float]) -> NDArray[np.float32]:
        """Play frames with the knobs at `values`: (hops * HOP,) audio."""
        frames = len(heard.f0_hz)
        knobs = {}
        for name, ramp in self.ramps.items():
            ramp.aim(values[name])
            knobs[name] = ramp.next(frames)
        habits = self.timbres[0].habits.between(self.timbres[-1].habits, values["morph"])
        octaves, offset = self.fit.process(heard, habits)
        on = knobs["adjust"]
        pitch = self.course.process(heard, knobs["vibrato"], knobs["pitch_correct"])
        pitch = pitch + np.rint(knobs["octave"]) + on * octaves
        f0 = np.clip(440.0 * 2**pitch, 20.0, 12000.0)
        played = np.maximum(heard.loudness_db + on * offset + knobs["loudness_db"], -100.0)
        # The output is silent where the input is. Elsewhere its level undoes the offset, so that only the dynamics
        # change.
        silent = np.clip((heard.loudness_db + 90) / 10, 0, 1)
        level = np.where(silent > 0, 20 * np.log10(np.maximum(silent, 1e-6)), -120.0) - on * offset
        score = Score(
            f0[None], heard.confidence[None], played[None], level[None],
            knobs["brightness"], knobs["breath"], knobs["morph"],
        )  # fmt: skip
        audio: NDArray[np.float32] = self.synthesizer.process(score)[0]
        if not self.begun:
            self.begun, audio = True, audio[HOP:]
        return audio


class _Course:
    """Separates the pitch into a smooth course and the vibrato around it."""

    def __init__(self) -> None:
        self.smooth: float | None = None
        self.note = 0  # the nearest semitone, with hysteresis

    def process(self, heard: Analysis, vibrato: Any, correct: Any) -> NDArray[Any]:
        """Compute the pitch to play.

        Args:
            heard: the frames.
            vibrato: factor of the vibrato: a number, or one for each frame.
            correct: 0..1, how far to pull to the nearest semitone: a number, or one for each frame.

        Returns:
            (frames,), octaves from 440 Hz.
        """
        pitch = np.log2(heard.f0_hz / 440.0)
        smooth, target = np.empty_like(pitch), np.empty_like(pitch)
        for k, now in enumerate(pitch.tolist()):
            # A jump that is wider than any vibrato begins a new note.
            if self.smooth is None or abs(now - self.smooth) > 0.1:
                self.smooth = now
            self.smooth += 0.03 * (now - self.smooth)
            if abs(12 * self.smooth - self.note) > 0.6:
                self.note = round(12 * self.smooth)
            smooth[k], target[k] = self.smooth, self.note / 12
        return np.asarray(smooth + vibrato * (pitch - smooth) + correct * (target - smooth))


class Fit:
    """Fits the input to a timbre's register and dynamics.

    The octave is chosen after a fifth of a second with a pitch. From then on it only changes between notes. The
    dynamics follow within seconds, and do not change the output level.
    """

    def __init__(self) -> None:
        self.pitch, self.loudness = 0.0, -25.0  # octaves from 440 Hz, dB: running means
        self.weight = 0.0
        self.octaves, self.unvoiced = 0, 0

    def process(self, heard: Analysis, habits: Habits) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return (frames,) octaves to transpose by, and (frames,) dB to play louder by.

        Args:
            heard: the next frames.
            habits: of the timbre.
        """
        octaves, offset = np.empty(len(heard.f0_hz)), np.empty(len(heard.f0_hz))
        low, high = np.log2(habits.low_hz / 440), np.log2(habits.high_hz / 440)
        rows = np.stack((np.log2(heard.f0_hz / 440.0), heard.confidence, heard.loudness_db), 1).tolist()
        for k, (pitch, sure, loud) in enumerate(rows):
            if sure >= CONFIDENT and loud > _AUDIBLE_DB:
                if self.weight == 0:
                    self.pitch = pitch
                self.weight = min(self.weight + 1, 5 * FRAME_RATE)
                self.pitch += (pitch - self.pitch) / self.weight
                self.loudness += (loud - self.loudness) / (self.weight + FRAME_RATE / 2)
                rested = self.unvoiced >= _REST and self.weight > _EVIDENCE
                if rested or self.weight == _EVIDENCE:
                    self.octaves = _octaves_into(self.pitch, self.octaves, low, high)
                self.unvoiced = 0
            else:
                self.unvoiced += 1
            octaves[k], offset[k] = self.octaves, habits.usual_db - self.loudness
        return octaves, offset


def _octaves_into(usual: float, now: int, low: float, high: float) -> int:
    """Return the octaves that move the `usual` pitch into a register. The current ones are kept if they do."""
    if low - _SLACK <= usual + now <= high + _SLACK:
        return now
    return round(0.5 * (low + high) - usual)
