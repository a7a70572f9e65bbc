"""Overlapping notes of one key, and when the last note of a channel ends."""

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.base import Instrument
from instruments.keys import KeyFollower, overlaps_resolved, releases, starts, stops
from instruments.voices import VoiceAllocator


def notes(text):
    """Messages a second apart: A and B begin notes of two keys, a and b end them; `|` joins two at one time."""
    found, now = [], 0.0
    for i, letter in enumerate(text):
        if letter == "|":
            continue
        now += i > 0 and text[i - 1] != "|"
        kind = {"!": "control_change"}.get(letter, "note_on" if letter.isupper() else "note_off")
        more = {"control": 123} if letter == "!" else {"note": 60 + (letter in "Bb")}
        found.append(mido.Message(kind, time=now, **more))
    return found


def letters(messages):
    return "".join(
        "!" if m.type == "control_change" else "AB"[m.note - 60] if starts(m) else "ab"[m.note - 60] for m in messages
    )


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("AaAa", "AaAa"),
        ("AAaa", "AAa"),
        ("AA|aa", "AAa"),
        ("AAAaaa", "AAAa"),
        ("AABaba", "AABba"),
        ("AA|aA|aA|aa", "AAAAa"),  # each begins before the one before it ends, at one tick
        ("AAa", "AAa"),  # a note-off is missing: the other one ends both
        ("AAaAa", "AAaAa"),
        ("AAaAaAaAaa", "AAaAaAaAaa"),  # one is missing, and long after there is one too many
        ("AAaaAAa", "AAaAAa"),
        ("AAa!Aa", "AAa!Aa"),
        ("AAa!a", "AAa!a"),
        ("aaAa", "aaAa"),
        ("A|a", "Aa"),
        ("", ""),
    ],
)
def test_overlaps(text, left):
    assert letters(overlaps_resolved(notes(text))) == left


def test_a_note_on_without_velocity_is_a_note_off():
    silent = mido.Message("note_on", note=60, velocity=0)
    assert stops(silent)
    assert not starts(silent)


def test_notes_that_overlap_a_little_in_a_row_all_sound():
    """Legato on one key: every note goes on for 30 ms under the next one, which lasts until its own end."""
    tied = [mido.Message("note_on", note=60, time=float(i)) for i in range(5)]
    tied += [mido.Message("note_off", note=60, time=i + 1.03) for i in range(5)]
    tied.sort(key=lambda message: message.time)
    assert letters(overlaps_resolved(tied)) == "AAAAAa"


class Keyboard:
    """Voices that sound exactly while they are held."""

    sample_rate = 32000.0

    def __init__(self):
        self.held = {}

    def start(self, voice, touch):
        self.held[voice] = touch.held

    def change(self, voice, touch):
        self.held[voice] = touch.held

    def sounding(self, voice):
        return self.held.get(voice, False)

    def level(self, voice):
        return 0.0


class Silent(Instrument):
    def open_family(self):
        return Keyboard()


KEYS = st.one_of(
    st.builds(lambda n, v: mido.Message("note_on", note=n, velocity=v), st.integers(60, 63), st.sampled_from([0, 90])),
    st.builds(lambda n: mido.Message("note_off", note=n), st.integers(60, 63)),
    st.builds(
        lambda n, v: mido.Message("control_change", control=n, value=v),
        st.sampled_from([64, 64, 66, 120, 121, 123, 126]),
        st.sampled_from([0, 127]),
    ),
)


@given(st.lists(st.tuples(KEYS, st.integers(0, 2)), max_size=30))
def test_voices_and_files_agree_on_what_is_held(steps):
    """Two readings of the rules: voices that are played, and the follower that finds the end of a song."""
    if any(m.type == "control_change" and m.control == 66 for m, _ in steps):
        return  # the follower takes sostenuto for sustain, which is only longer
    allocator = VoiceAllocator(Silent(), Keyboard())
    follower, now = KeyFollower(), 0
    for message, wait in steps:
        now += wait
        allocator.position = now
        allocator.receive(message)
        follower.follow(message.copy(time=float(now)))
        assert follower.held == any(allocator.family.held.values())
    allocator.position = now
    for message in releases(0, now):
        allocator.receive(message)
    assert not any(allocator.family.held.values())
