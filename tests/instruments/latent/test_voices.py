"""Playing the network live: blocks, beginnings, releases, stealing, long notes and moving timbres."""

from __future__ import annotations

import numpy as np
import pytest

from instruments.contract import Touch
from instruments.latent.files import LatentFile
from instruments.latent.frames import HARMONICS, LEVELS, SLOTS
from instruments.latent.instrument import Latent
from instruments.latent.late import TRAINED_TICKS, frames_at
from instruments.latent.live_noise import LiveNoise
from instruments.latent.network import FRAME_OUTPUTS, LatentNetwork
from instruments.latent.noise import BANDS, CENTRES
from instruments.latent.oscillators import oscillate
from instruments.latent.subbands import HOP, RATE
from instruments.latent.timbres import timbre_map
from instruments.latent.voices import LatentVoices
from neural_fx.errors import NeuralFXError, ParameterError
from tests.instruments.latent.test_network import random_weights
from tests.instruments.makers import off, on


def tone_network(level_db: float = -20.0, noise_db: float = -140.0) -> LatentNetwork:
    """Return a network that plays a sine of one level until the release, and is over then."""
    weights = {name: np.zeros_like(value) for name, value in random_weights().items()}
    bias = weights["frame.outputs.bias"]
    bias[:] = (-140 + 80) / 20
    bias[0] = (level_db + 80) / 20
    bias[HARMONICS + SLOTS : LEVELS] = (noise_db + 80) / 20
    bias[LEVELS] = 0
    bias[FRAME_OUTPUTS - 1] = -1
    # The last feature of the time says whether the note is held. A unit passes it on to the last output.
    weights["frame.time.weight"][0, -1] = 3
    weights["frame.outputs.weight"][FRAME_OUTPUTS - 1, 0] = 1
    return LatentNetwork(weights)


class Fixed:
    def __init__(self, gain: float = 0.0) -> None:
        self.gain = gain

    def tick(self) -> None:
        pass

    def timbre(self) -> np.ndarray:
        return np.zeros(4)

    def gain_db(self) -> float:
        return self.gain


def random_file(seed: int = 0) -> LatentFile:
    rng = np.random.default_rng(seed)
    presets = {name: rng.normal(0, 1, 4) for name in ("one", "two", "three", "four")}
    return LatentFile(LatentNetwork(random_weights(seed=seed)), presets)


@pytest.mark.parametrize("samples", [HOP, 77, 1])
def test_oscillators_are_sums_of_cosines(samples: int) -> None:
    rng = np.random.default_rng(0)
    phases, hz = rng.uniform(0, 6, 30), rng.uniform(20, 20000, 30)
    before, after = rng.uniform(0, 1, (2, 30))
    before[3] = after[3] = 0
    sound, end = oscillate(phases, hz, before, after, samples)
    n = np.arange(samples)[:, None]
    amplitudes = before + (after - before) * n / samples
    expected = (amplitudes * np.cos(phases + 2 * np.pi * hz * n / RATE)).sum(axis=1)
    np.testing.assert_allclose(sound, expected, atol=1e-10)
    np.testing.assert_allclose(np.cos(end), np.cos(phases + 2 * np.pi * hz * samples / RATE), atol=1e-9)


def test_live_noise_has_the_power_of_its_bands() -> None:
    noise = LiveNoise(0)
    powers = np.zeros(BANDS)
    chosen = (CENTRES > 2000) & (CENTRES < 8000)
    powers[chosen] = 1e-6
    sound = np.concatenate([noise.play(powers) for _ in range(1000)])[4 * HOP :]
    spectrum = np.abs(np.fft.rfft(sound)) ** 2 * 2 / RATE / len(sound)
    hz = np.fft.rfftfreq(len(sound), 1 / RATE)
    assert 10 * np.log10(spectrum[(hz > 2500) & (hz < 7000)].mean() / 1e-6) == pytest.approx(0, abs=0.3)
    assert 10 * np.log10(spectrum[(hz < 1500) | (hz > 10000)].max() / 1e-6) < -30


def test_a_note_begins_at_its_sample_and_ends_in_exact_silence() -> None:
    voices = LatentVoices(tone_network(), Fixed())
    before = voices.render(1000)
    voices.start(2, Touch(69, 0.8, held=True))
    held = voices.render(9600)
    assert voices.sounding(2)
    voices.change(2, Touch(69, 0.8, held=False))
    released = voices.render(9600)
    assert not before.any()
    assert np.abs(held[:3]).max() < 0.01
    assert np.flatnonzero(held)[0] < 5
    spectrum = np.abs(np.fft.rfft(held[4800:] * np.hanning(4800)))
    assert spectrum.argmax() == 44
    assert np.abs(held[4800:]).max() == pytest.approx(0.1, rel=0.01)
    assert not voices.sounding(2)
    assert not released[2000:].any()
    assert np.abs(np.diff(np.concatenate((before, held, released)))).max() < 0.1 * 2 * np.pi * 440 / RATE * 1.5


@pytest.mark.parametrize("size", [1, 7, 64, 120, 333, 5000])
def test_the_sound_does_not_depend_on_the_blocks(size: int) -> None:
    instrument = Latent("one", random_file(), morph_to="two", morph=0.3)
    messages = [on(60, 0.01), on(64, 0.0234), off(60, 0.06), on(67, 0.0777), off(64, 0.08)]
    duration = 0.03 if size == 1 else 0.12
    messages = [message for message in messages if message.time < duration]
    whole = instrument(messages, duration, 48000)
    again = instrument(messages, duration, 48000, buffer_size=size)
    np.testing.assert_allclose(again, whole, atol=1e-6 * np.abs(whole).max())
    assert whole.any()


def test_a_stolen_note_fades_without_a_click() -> None:
    voices = LatentVoices(tone_network(), Fixed())
    voices.start(0, Touch(69, 0.8, held=True))
    first = voices.render(4850)
    voices.start(0, Touch(76, 0.8, held=True))
    sound = np.concatenate((first, voices.render(4800)))
    assert np.abs(np.diff(sound)).max() < 0.1 * 2 * np.pi * (440 + 660) / RATE * 1.2


def test_long_notes_stay_or_decay_at_their_rate() -> None:
    network = LatentNetwork(random_weights(seed=3))
    hidden = network.notes(np.ones((1, 4)), np.array([60]), np.array([80])).hidden
    ticks = np.array([TRAINED_TICKS - 200, TRAINED_TICKS, TRAINED_TICKS + 400])
    levels = frames_at(network, np.repeat(hidden, 3, axis=0), ticks, np.full(3, np.inf)).levels
    rate = np.minimum(levels[1] - levels[0], 0) / 200
    np.testing.assert_allclose(levels[2], levels[1] + 400 * rate, atol=1e-3)
    assert (levels[2] <= levels[1] + 1e-3).all()
    released = frames_at(network, hidden, np.array([1000.0]), np.array([960.0])).levels[0]
    short = frames_at(network, hidden, np.array([TRAINED_TICKS + 40]), np.array([TRAINED_TICKS])).levels[0]
    np.testing.assert_allclose(released, short + 400 * rate, atol=1e-3)


def test_parameters_move_the_timbre() -> None:
    file = random_file()
    message = [on(60, 0.0)]
    plain = Latent("one", file)(message, 0.1, 48000)
    there = Latent("one", file, morph_to="two", morph=1.0)(message, 0.1, 48000)
    two = Latent("two", file)(message, 0.1, 48000)
    np.testing.assert_allclose(there, two, atol=1e-5 * np.abs(two).max())
    for name in ("x", "y", "z1", "z4"):
        moved = Latent("one", file, **{name: 1.0})(message, 0.1, 48000)
        assert np.abs(moved - plain).max() > 1e-3 * np.abs(plain).max()
    louder = Latent("one", file, loudness_db=6.0)(message, 0.1, 48000)
    assert np.abs(louder).max() > 1.5 * np.abs(plain).max()


def test_the_map_finds_presets_again() -> None:
    rng = np.random.default_rng(0)
    plane = rng.normal(0, 1, (2, 6))
    presets = {str(i): rng.normal(0, 1, 2) @ plane for i in range(20)}
    found = timbre_map(presets, 6)
    for timbre, position in zip(presets.values(), found.positions, strict=True):
        np.testing.assert_allclose(found.position(timbre), position, atol=1e-9)
        np.testing.assert_allclose(found.at(*position), timbre, atol=1e-9)
    instrument = Latent("one", random_file())
    positions = Latent.map(random_file())
    assert len(positions) == 4
    assert positions["one"] == pytest.approx((instrument.x, instrument.y))
    for name, (instrument.x, instrument.y) in positions.items():
        np.testing.assert_allclose(instrument.timbre, random_file().presets[name], atol=1e-6)


def test_wrong_names_are_errors() -> None:
    with pytest.raises(NeuralFXError, match=r"unknown preset 'tow'.*two"):
        Latent("tow", random_file())
    with pytest.raises(ParameterError, match="colour"):
        Latent("two", random_file(), colour=1.0)
