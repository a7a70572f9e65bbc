"""List the words in file names that mean a class of drums."""

from __future__ import annotations

_HATS = ("hat", "hats", "hihat", "hihats", "hi hat", "hi hats", "hh", "charley")
_TOMS = ("tom", "toms")


def _pairs(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Return all pairs of words, in both orders."""
    return tuple(text for a in first for b in second for text in (f"{a} {b}", f"{b} {a}"))


DRUM_WORDS: dict[str, tuple[str, ...]] = {
    "kick": ("kick", "kicks", "bd", "bass drum", "bass drums", "bassdrum", "kik"),
    "snare": ("snare", "snares", "snare drum", "sd", "sn", "snr"),
    "rim": ("rim", "rims", "rimshot", "rim shot", "sidestick", "side stick", "cross stick", "crossstick"),
    "clap": ("clap", "claps", "handclap", "hand clap", "snap", "cp"),
    "closed_hat": (*_pairs(_HATS, ("closed", "close", "cl", "pedal", "foot")), "chh", "hhc", "ch", *_HATS),
    "open_hat": (*_pairs(_HATS, ("open", "op")), "ohh", "hho", "oh"),
    "low_tom": (*_pairs(_TOMS, ("low", "lo", "floor")), "floortom", "lowtom", "lt"),
    "mid_tom": (*_pairs(_TOMS, ("mid", "middle", "md")), "midtom", "mt", *_TOMS),
    "high_tom": (*_pairs(_TOMS, ("high", "hi", "rack")), "hightom", "racktom", "ht"),
    "crash": ("crash", "crashes", "splash", "china", "crash cymbal"),
    "ride": ("ride", "rides", "ride bell", "ride cymbal"),
    "cowbell": ("cowbell", "cowbells", "cow bell", "cb"),
    "shaker": ("shaker", "shakers", "maraca", "maracas", "cabasa"),
    "tambourine": ("tambourine", "tambourines", "tamb", "tambo"),
}
"""Words of each class, in lower case. The longest that fit a name count. Other hats are closed."""
