"""Registered parameters and resets of a channel, message by message."""

import pytest

from instruments.channels import Channel

NULL = [(101, 127), (100, 127)]
BEND, FINE, COARSE = ([(101, 0), (100, number)] for number in (0, 1, 2))


def after(*controls, knob=2.0, channel=None):
    channel = channel or Channel()
    for number, value in controls:
        channel.control(number, value, knob)
    return channel


@pytest.mark.parametrize(
    ("controls", "semitones"),
    [
        ([], 2),
        ([*BEND, (6, 12)], 12),
        ([*BEND, (6, 12), (38, 50)], 12.5),
        ([*reversed(BEND), (6, 12), (38, 0), *NULL], 12),
        ([*BEND, (38, 50)], 2.5),
        ([*BEND, (6, 5), (38, 20), (6, 7)], 7),  # an upper half sets the lower one to zero
        ([*BEND, (6, 0)], 0),
        ([*BEND, (6, 127), (38, 127)], 128),
        ([*BEND, (96, 0)], 2.01),
        ([*BEND, (97, 127), (97, 0)], 1.98),
        ([*BEND, (6, 0), (97, 0)], 0),
        ([*BEND, (6, 12), *BEND, (96, 0)], 12.01),
        ([(6, 12)], 2),  # nothing is selected
        ([*NULL, (6, 12)], 2),
        ([*BEND, *NULL, (6, 12)], 2),
        ([*BEND, (99, 0), (98, 0), (6, 12)], 2),  # a parameter of some maker's own
        ([*BEND, (98, 0), (6, 12)], 2),
        ([(101, 0), (6, 12)], 2),  # half selected
        ([*FINE, (6, 12)], 2),
        ([*BEND, (6, 12), (121, 0)], 12),
        ([*BEND, (121, 0), (6, 12)], 2),  # a reset selects nothing
    ],
)
def test_bend_range(controls, semitones):
    assert after(*controls).bend_range(2.0) == pytest.approx(semitones)


def test_the_knob_counts_again_once_it_is_moved():
    channel = after(*BEND, (6, 12))
    assert channel.bend_range(2.0) == 12
    assert channel.bend_range(5.0) == 5
    assert after((6, 7), knob=5.0, channel=channel).bend_range(5.0) == 7


@pytest.mark.parametrize(
    ("controls", "semitones"),
    [
        ([], 0),
        ([*FINE, (6, 0)], -1),
        ([*FINE, (6, 96), (38, 0)], 0.5),
        ([*FINE, (6, 127), (38, 127)], 8191 / 8192),
        ([*FINE, (96, 0)], 1 / 8192),
        ([*COARSE, (6, 52)], -12),
        ([*COARSE, (6, 52), (38, 99)], -12),
        ([*COARSE, (96, 0), (96, 0)], 2),
        ([*COARSE, (6, 76), *FINE, (6, 96)], 12.5),
    ],
)
def test_tuning(controls, semitones):
    assert after(*controls).tuning == pytest.approx(semitones)


def test_a_reset_leaves_volume_and_sound():
    channel = after((1, 100), (7, 40), (10, 0), (11, 9), (64, 127), (66, 127), (74, 30), (91, 5))
    channel.bend = channel.pressure = 0.5
    after((121, 0), channel=channel)
    assert sorted(channel.controls) == [7, 10, 74, 91]
    assert (channel.bend, channel.pressure, channel.sustain, channel.sostenuto) == (0, 0, False, False)


@pytest.mark.parametrize(("value", "down"), [(0, False), (63, False), (64, True), (127, True)])
def test_pedals_are_down_from_the_middle_on(value, down):
    channel = after((64, value), (66, value))
    assert (channel.sustain, channel.sostenuto) == (down, down)
