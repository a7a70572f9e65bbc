"""MIDI messages of a call: their order, and wrong ones."""

import mido
import pytest

from instruments.base import parse_messages
from neural_fx.errors import NeuralFXError
from tests.instruments.makers import off, on


def test_messages_are_put_in_order():
    events = parse_messages([on(60, 0.5), (b"\x90\x40\x40", 0.2), mido.MetaMessage("set_tempo"), on(62, -1.0)])
    assert [seconds for seconds, _ in events] == [0.0, 0.2, 0.5]


def test_messages_from_before_the_beginning_keep_their_order():
    events = parse_messages([off(60, -1.0), on(60, -2.0), on(64, 0.0)])
    assert [(seconds, message.type) for seconds, message in events] == [
        (0.0, "note_on"), (0.0, "note_off"), (0.0, "note_on")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "item", [(b"", 0.0), (b"\x90\x45\x5a", "soon"), ([300, 1, 2], 0.0), (b"\x90\x45\x5a", float("nan"))]
)
def test_what_is_no_message(item):
    with pytest.raises(NeuralFXError, match=r"\w+"):
        parse_messages([item])
