"""Keep the rendered hits of a kit, and render them again in a thread when a knob moves.

A player never waits: `Kit.hit` returns what there is. The old hit plays until the new one is ready.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from instruments.drums.classes import CLASSES, GENERAL_MIDI, Piece
from instruments.drums.knobs import KNOBS
from instruments.drums.network import DrumNetwork
from instruments.drums.rendering import render_hit
from neural_fx.arrays import Array

LAYERS = 3
"""Hits of each piece, from soft to hard. They differ a little, as no two strokes are the same."""

MOST_KEPT = 300
"""Hits that are kept for other instruments of this process: four kits, or some 60 MB. A kit takes most of a second."""

LAYER_VARIATION = 0.12  # standard deviation of z between layers
LAYER_KNOBS = {"brightness": 0.12, "hardness": 0.12}  # that a layer adds to these knobs
VARIANT_DISTANCE = 0.5  # how far a further piece is on the way to a random sound


class Settings(NamedTuple):
    """What the hits of a kit depend on.

    Attributes:
        seed: 0 for the kit itself, other numbers for random kits.
        knobs: for each class its seven knobs, 0..1. 0.5 leaves the sound as it is.
        found: for some classes z and knobs of a drum that takes the place of the kit's own and of random ones.
    """

    seed: int
    knobs: tuple[tuple[float, ...], ...]
    found: tuple[tuple[str, tuple[float, ...]], ...] = ()


_Recipe: TypeAlias = tuple[int, tuple[float, ...], tuple[float, ...]]
"""Seed, knobs and found numbers of a hit."""


class _Slot(NamedTuple):
    piece: Piece
    layer: int


@dataclass(frozen=True)
class _Rendered:
    recipe: _Recipe
    audio: Array


class Kit:
    """The hits of a kit.

    Any thread may call any method. `hit` and `want` return at once.

    Args:
        network: that decodes hits.
        name: of the kit, one of `DrumNetwork.presets`.
        settings: of the first hits.
    """

    def __init__(self, network: DrumNetwork, name: str, settings: Settings) -> None:
        self._network = network
        self._name = name
        self._settings = settings
        self._hits: dict[_Slot, _Rendered] = {}
        pieces = dict.fromkeys(GENERAL_MIDI.values())
        self._slots = [_Slot(piece, layer) for piece in pieces for layer in range(LAYERS)]
        self._played: dict[_Slot, int] = {}  # number of the last stroke that played it
        self._strokes = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def hit(self, piece: Piece, velocity: float) -> Array:
        """Return the hit that is ready now.

        Args:
            piece: of the drum kit.
            velocity: 0..1.

        Returns:
            (samples,) with a peak of 1. Empty if nothing is rendered yet.
        """
        slot = _slot(piece, velocity)
        rendered = self._hits.get(slot)
        if rendered is None:
            return np.zeros(0, np.float32)
        self._strokes += 1
        self._played[slot] = self._strokes
        return rendered.audio

    def layer(self, piece: Piece, layer: int) -> Array:
        """Return the hit of a layer that is ready now, (samples,) with a peak of 1.

        Args:
            piece: of the drum kit.
            layer: 0 for the softest strokes.
        """
        return self._hits[_Slot(piece, layer)].audio

    def want(self, settings: Settings) -> None:
        """Change the settings. A thread renders the hits that they change."""
        with self._lock:
            if not self._change(settings):
                return
            if self._hits and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="drums", daemon=True)
                self._thread.start()

    def finish(self, settings: Settings | None = None, strokes: Iterable[tuple[int, float]] | None = None) -> None:
        """Render what is not up to date, and return when it is done.

        Args:
            settings: new settings; None for the last ones.
            strokes: keys and velocities (0..1) whose hits are needed; None for all hits.
        """
        if settings is not None:
            with self._lock:
                self._change(settings)
        slots = self._slots if strokes is None else list(dict.fromkeys(_struck(strokes)))
        while self._render_next(slots):
            pass

    def _change(self, settings: Settings) -> bool:
        if settings == self._settings:
            return False
        self._settings = settings
        return True

    def _work(self) -> None:
        while True:
            with self._lock:
                slots = list(self._hits)  # those that nobody has needed yet are not rendered here
            if self._render_next(slots):
                continue
            with self._lock:  # no settings arrive between the last look and the end of the thread
                if self._outdated(list(self._hits)) is None:
                    self._thread = None
                    return

    def _render_next(self, slots: Sequence[_Slot]) -> bool:
        """Render one of some hits that is not up to date. Return False if there is none."""
        with self._lock:
            slot = self._outdated(slots)
            settings = self._settings
        if slot is None:
            return False
        recipe = _recipe(settings, slot.piece)
        audio = render(self._network, self._name, slot.piece, slot.layer, *recipe)
        with self._lock:
            # The settings may have changed meanwhile, and another thread may have rendered the hit that is wanted now.
            stored = self._hits.get(slot)
            if stored is None or stored.recipe != _recipe(self._settings, slot.piece):
                self._hits[slot] = _Rendered(recipe, audio)
        return True

    def _outdated(self, slots: Sequence[_Slot]) -> _Slot | None:
        """Return one of some slots that is not up to date. Hits that were played last come first."""
        for slot in sorted(slots, key=lambda slot: -self._played.get(slot, 0)):
            rendered = self._hits.get(slot)
            if rendered is None or rendered.recipe != _recipe(self._settings, slot.piece):
                return slot
        return None


def _slot(piece: Piece, velocity: float) -> _Slot:
    return _Slot(piece, min(LAYERS - 1, int(velocity * LAYERS)))


def _struck(strokes: Iterable[tuple[int, float]]) -> Iterator[_Slot]:
    for key, velocity in strokes:
        if key in GENERAL_MIDI:
            yield _slot(GENERAL_MIDI[key], velocity)


def _recipe(settings: Settings, piece: Piece) -> _Recipe:
    return settings.seed, settings.knobs[CLASSES.index(piece.drum)], dict(settings.found).get(piece.drum, ())


@lru_cache(maxsize=MOST_KEPT)
def render(
    network: DrumNetwork,
    kit: str,
    piece: Piece,
    layer: int,
    seed: int,
    knobs: tuple[float, ...],
    found: tuple[float, ...] = (),
) -> Array:
    """Render a hit of a kit.

    Args:
        network: network that decodes it.
        kit: name of the kit.
        piece: of the drum kit.
        layer: 0 for the softest.
        seed: 0 for the kit itself, other numbers for random kits.
        knobs: seven values, 0..1. 0.5 leaves the sound as it is.
        found: z and knobs of a drum that takes the place of the kit's own; empty for none.

    Returns:
        (samples,) float32 at 48 kHz with a peak of 1, which cannot be written to.
    """
    z, own = piece_numbers(network, kit, piece, seed, found)
    number = CLASSES.index(piece.drum)
    if layer != LAYERS // 2:
        random = np.random.default_rng([seed, number, piece.variant, layer])
        z = z + LAYER_VARIATION * random.standard_normal(len(z)).astype(np.float32)
    wanted = turned(own, np.array(knobs, np.float32))
    for name, amount in LAYER_KNOBS.items():
        wanted[KNOBS.index(name)] += amount * (layer - LAYERS // 2)
    hit = network.decode(piece.drum, z, wanted, own)
    audio = render_hit(hit.levels, hit.sines, seed=seed + 3 * piece.variant + layer)
    audio.flags.writeable = False
    return audio


def piece_numbers(
    network: DrumNetwork, kit: str, piece: Piece, seed: int, found: tuple[float, ...] = ()
) -> tuple[Array, Array]:
    """Return z (latent,) and the own knobs (7,) of a piece.

    Args:
        network: that makes the hits.
        kit: name of the kit in the network's file.
        piece: the drum and its variant.
        seed: 0 for the kit's own numbers, others for random ones.
        found: z and knobs of a drum that takes the place of either; empty for none.
    """
    random = np.random.default_rng([seed, CLASSES.index(piece.drum), piece.variant])
    drawn = network.sample(piece.drum, random)
    if seed > 0 and not found:
        return drawn
    own = network.preset(kit, piece.drum)
    if found:
        numbers = np.array(found, np.float32)
        own = numbers[: network.latent], numbers[network.latent :]
    if piece.variant == 0:
        return own
    z = own[0] + VARIANT_DISTANCE * (drawn[0] - own[0])
    return z, own[1] + VARIANT_DISTANCE * (drawn[1] - own[1])


def turned(own: Array, knobs: Array) -> Array:
    """Return the knobs to ask for: 0 and 1 are the ends of the class's range, and 0.5 is the sound's own value."""
    share = np.abs(2 * knobs - 1)
    ends = np.where(knobs > 0.5, np.maximum(own, 1.0), np.minimum(own, 0.0))
    return np.asarray(own + share * (ends - own), np.float32)
