import numpy as np
import pytest

from instruments import DDSP
from instruments.balance import (
    REFERENCE_LUFS,
    REFERENCE_VELOCITY,
    UNBALANCED,
    find_balance,
    measure_balance,
    note_loudness,
)
from neural_fx.timbre import TIMBRES, timbre_card


def register(timbre):
    """Return three notes in the register of a timbre's recordings."""
    habits = timbre_card(timbre)["habits"]
    low, high = (69 + 12 * np.log2(habits[key] / 440) for key in ("low_hz", "high_hz"))
    return [round(low + part * (high - low)) for part in (0.2, 0.5, 0.8)]


@pytest.mark.parametrize("velocity", [1, 20, 64, 96, 127])
def test_the_same_velocity_is_equally_loud_in_all_timbres(velocity):
    found = [note_loudness(DDSP(name), register(name), velocity, find_balance(name)) for name in TIMBRES]
    assert max(found) - min(found) < 2
    if velocity in (64, 96):
        unbalanced = [note_loudness(DDSP(name), register(name), velocity) for name in TIMBRES]
        assert max(unbalanced) - min(unbalanced) > 12


@pytest.mark.parametrize("name", TIMBRES)
def test_a_higher_velocity_never_becomes_a_lower_one(name):
    velocities = find_balance(name).velocities
    assert len(velocities) == 128
    assert velocities[0] == 0
    assert min(velocities[1:]) >= 1
    assert max(velocities) <= 127
    assert list(velocities) == sorted(velocities)


def test_an_unknown_sound_has_no_balance():
    assert find_balance("no-such-sound") is None
    assert UNBALANCED.velocities == tuple(range(128))


@pytest.mark.parametrize("loudness_db", [-15, 0, 10])
def test_another_sound_is_measured(loudness_db):
    trumpet = DDSP("trumpet", loudness_db=loudness_db)
    balance = measure_balance(trumpet, [65, 75])
    assert note_loudness(trumpet, [70], REFERENCE_VELOCITY, balance) == pytest.approx(REFERENCE_LUFS, abs=1)
    assert balance.velocities == UNBALANCED.velocities


def test_a_silent_sound_gets_no_endless_gain():
    assert measure_balance(DDSP("flute", loudness_db=-40), [0]).gain_db <= 30
