"""`docs/extending/slots.md` as its reader follows it: Python, command line, board file, worker; and broken packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest
import soundfile

from neural_fx.arrays import Audio
from neural_fx.boards import (
    PROCESSORS,
    SLOTS,
    FieldError,
    NamedProcessor,
    Slot,
    SlotKind,
    load_board,
    plan_board,
    stored_values,
)
from neural_fx.errors import BoardError
from neural_fx.foreign import Rules
from neural_fx.processor import Processor
from tests.extending.pages import Installed, Page, install_page, printing_warnings, python

PAGE = "slots.md"

WORKER = """
import socket
import time
from pathlib import Path

import numpy as np

import bridge
from bridge.osc.packets import encode
from bridge.worker import Options, Worker

options = Options({"lead": Path("effects.yaml")}, osc_port=0, stream_port=0, oscquery_port=0, announce=False)
worker = Worker(options)
try:
    worker.boards["lead"].set("tremolo/depth", 0.0)
    lead = bridge.connect(f"127.0.0.1:{worker.streams.port}", "lead")
    click = np.zeros((1, 12000), np.float32)
    click[0, 0] = 1
    audio = lead.process(click, 48000)
    assert np.isclose(audio[0, 9600], 0.3 * 0.4, atol=1e-3), audio[0, 9600]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(encode("/lead/slapback/mix", 1.0), ("127.0.0.1", worker.osc.port))
    limit = time.monotonic() + 60
    while worker.boards["lead"].value("slapback/mix") != 1 and time.monotonic() < limit:
        time.sleep(0.01)
    assert worker.boards["lead"].value("slapback/mix") == 1
    assert worker.query.node("/lead/tremolo/speed")["UNIT"] == ["Hz"]
    print("played")
finally:
    worker.close()
"""

NETWORK = """
from pathlib import Path

from bridge.host import board_in
from bridge.media import Media
from neural_fx.errors import BoardError

text, plugins = TEXT, PLUGINS
media = Media([Path("media")], plugins=plugins)
try:
    print(board_in(text, media)()[0].__class__.__name__)
except BoardError as error:
    print(error)
"""


def test_the_example_plays_from_python_and_is_written_back(page: Page, installed: Installed, tmp_path: Path) -> None:
    (example,) = page.examples
    done = installed.python(example)
    assert (done.returncode, done.stderr) == (0, "")
    written = (tmp_path / "again.yaml").read_text()
    assert "processor: tremolo" in written
    assert "echo: taps.txt" in written
    assert "name: slapback" in written


def test_the_example_plays_from_the_command_line(page: Page, installed: Installed, tmp_path: Path) -> None:
    click = np.zeros(12000, np.float32)
    click[0] = 0.5
    soundfile.write(tmp_path / "stem.wav", click, 48000, subtype="FLOAT")
    render, serve = page.commands
    done = installed.command(render.split()[1:])
    assert done.returncode == 0, done.stderr
    played, _ = soundfile.read(tmp_path / "out.wav")
    assert played[4800] / played[0] == pytest.approx(0.5 * 0.8, rel=0.2), "the tremolo moves it a little"
    assert serve == "neural-fx serve --board lead=effects.yaml"


def test_the_files_of_the_example_are_not_replaced(installed: Installed, tmp_path: Path) -> None:
    code = (
        "import neural_fx\n"
        "try: neural_fx.Pedalboard.from_file('effects.yaml').save('taps.txt', overwrite=True)\n"
        "except neural_fx.BoardError as error: print(error)\n"
    )
    assert "is a file that the board itself uses" in installed.python(code).stdout
    render = "render stem.wav --board effects.yaml --overwrite -o taps.txt"
    soundfile.write(tmp_path / "stem.wav", np.zeros(100), 48000)
    assert installed.command(render.split()).returncode != 0
    assert (tmp_path / "taps.txt").read_text().startswith("0.1 0.8")


def test_a_worker_hosts_the_example(installed: Installed) -> None:
    """Streams, values over OSC, units in OSCQuery."""
    done = installed.python(WORKER)
    assert (done.returncode, done.stdout) == (0, "played\n"), done.stderr


def test_blocks_of_any_size_give_the_same(installed: Installed) -> None:
    code = (
        "import numpy as np, neural_fx\n"
        "board = neural_fx.Pedalboard.from_file('effects.yaml')\n"
        "signal = np.random.default_rng(0).standard_normal((2, 20000)).astype(np.float32)\n"
        "whole = board(signal, 44100)\n"
        "parts = np.split(signal, [64, 65, 777, 9000], axis=1)\n"
        "board.reset()\n"
        "joined = np.concatenate([board(part, 44100, reset=False) for part in parts], axis=1)\n"
        "np.testing.assert_allclose(joined, whole, atol=1e-5)\n"
    )
    done = installed.python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "plugins", "words"),
    [
        ("slots: [{processor: tremolo}]", False, "slots[0]: a processor slot runs code of other people"),
        ("slots: [{processor: os.system}]", False, "--allow-plugins"),
        ("slots: [{processor: tremolo}]", True, "Tremolo"),
        ("slots: [{processor: os.system}]", True, "unknown processor 'os.system'; known: tremolo"),
        ("slots: [{echo: inside.txt}]", False, "Echo"),
        ("slots: [{echo: ../taps.txt}]", False, "outside the folders"),
        ("slots: [{echo: inside.txt, invert: true}]", False, "slots[0].invert: only a single echo"),
        ("slots:\n- plugin: Gain\n- echo: inside.txt\n  invert: 3", False, "line 4: slots[1].invert"),
    ],
)
def test_boards_from_the_network(
    page: Page, installed: Installed, tmp_path: Path, text: str, plugins: bool, words: str
) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "inside.txt").write_text(page.files["taps.txt"])
    done = installed.python(NETWORK.replace("TEXT", repr(text)).replace("PLUGINS", repr(plugins)))
    assert words in done.stdout, (done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("raise OSError('no such library')", "OSError: no such library"),
        ("ECHO = 3", "expected a SlotKind, found int"),
        (
            "from neural_fx.boards import Slot, SlotKind\nECHO = SlotKind('echo', Slot, None, None)",
            "Slot needs a field of this name of its own",
        ),
        (
            "from neural_fx.boards import SLOTS\nECHO = SLOTS['ir'].__class__(**vars(SLOTS['ir']))",
            "there is another member called 'ir'",
        ),
    ],
)
def test_a_broken_package_is_reported_and_left_out(page: Page, tmp_path: Path, module: str, words: str) -> None:
    broken = install_page(page.changed("echo_slot.py", module), tmp_path)
    code = (
        "import neural_fx.boards\n"
        "board = neural_fx.boards.plan_board('x.yaml', b'slots: [{plugin: Gain}, {processor: tremolo}]').build()\n"
        "print(len(board))\n"
    )
    done = broken.python(printing_warnings(code))
    assert done.returncode == 0, done.stderr
    count, sentence = done.stdout.splitlines()
    assert count == "2"
    assert sentence.startswith("my-effects: its neural_fx.slots entry point 'echo' is left out: ")
    assert words in sentence


def test_instruments_are_slots_without_an_import(tmp_path: Path) -> None:
    """Neither order of imports matters, and `neural_fx` alone does not import `instruments`."""
    code = (
        "import sys, neural_fx.boards\n"
        "assert 'instruments' not in sys.modules\n"
        "print(neural_fx.boards.plan_board('x.yaml', b'slots: [{instrument: violin}]').build()[0].instrument.sound)\n"
    )
    assert python(code, tmp_path, tmp_path).stdout == "violin\n"


# -- from a script -------------------------------------------------------------------------------------------------


class Invert(Processor):
    def process_block(self, block: Audio) -> Audio:
        return -block


class Fails(Processor):
    def __init__(self, needed: int) -> None:
        super().__init__()

    def process_block(self, block: Audio) -> Audio:
        return block


@pytest.fixture
def added() -> Any:
    """Remove what a test adds to the registries."""
    PROCESSORS.names()
    SLOTS.names()
    before = dict(PROCESSORS._members), dict(SLOTS._members)
    yield
    PROCESSORS._members, SLOTS._members = before


@pytest.mark.usefixtures("added")
def test_a_script_can_add_a_processor(tmp_path: Path) -> None:
    PROCESSORS.add(NamedProcessor("invert", Invert))
    PROCESSORS.add(NamedProcessor("fails", Fails))  # type: ignore[arg-type]
    file = tmp_path / "board.yaml"
    file.write_text("slots:\n- {processor: invert, name: flip}\n")
    board = load_board(file)
    board.save(tmp_path / "again.yaml")
    assert "processor: invert" in (tmp_path / "again.yaml").read_text()
    assert isinstance(load_board(tmp_path / "again.yaml")[0], Invert)
    for slot, words in [
        (
            "processor: invrt",
            r"line 2: slots\[0\].processor: unknown processor 'invrt'.*did you mean.*known: invert",
        ),
        ("{processor: invert, set: {gain: 1}}", r"slots\[0\].set.gain: Invert has no parameter 'gain'; it has: none"),
        ("processor: fails", r"slots\[0\].processor: TypeError: .*needed"),
        ("processor: 3", r"slots\[0\].processor: "),
    ]:
        file.write_text(f"slots:\n- {slot}\n")
        with pytest.raises(BoardError, match=words):
            load_board(file)
    with pytest.raises(TypeError, match="expected a subclass of Processor"):
        NamedProcessor("gain", pedalboard.Gain)
    with pytest.raises(TypeError, match="expected a NamedProcessor, found"):
        PROCESSORS.add(Invert)  # type: ignore[arg-type]


class GainSlot(Slot):
    louder: float


@pytest.mark.usefixtures("added")
def test_a_script_can_add_and_replace_a_kind(tmp_path: Path) -> None:
    """A later kind describes a plugin that an earlier one knows, too."""

    def fill(slot: GainSlot, folder: Path) -> Any:
        if slot.louder > 20:
            raise FieldError("too loud", "louder")
        return pedalboard.Gain(slot.louder)

    def describe(plugin: Any, folder: Path) -> dict[str, Any] | None:
        return {"louder": plugin.gain_db} if isinstance(plugin, pedalboard.Gain) else None

    louder = SLOTS.add(SlotKind("louder", GainSlot, fill, describe))
    file = tmp_path / "board.yaml"
    file.write_text("slots:\n- louder: 6\n")
    load_board(file).save(tmp_path / "again.yaml")
    assert "louder: 6" in (tmp_path / "again.yaml").read_text()
    file.write_text("slots:\n- louder: 60\n")
    with pytest.raises(BoardError, match=r"line 2: slots\[0\].louder: too loud"):
        load_board(file)
    assert SLOTS.replace(SlotKind("louder", GainSlot, lambda slot, folder: pedalboard.Gain(0), describe)) is louder
    assert load_board(file)[0].gain_db == 0
    with pytest.raises(KeyError):
        SLOTS.replace(SlotKind("set_up", type("S", (GainSlot,), {"__annotations__": {"set_up": int}}), fill, describe))
    with pytest.raises(TypeError, match="expected a SlotKind, found str"):
        SLOTS.replace("louder")  # type: ignore[arg-type]
    for name in ("name", "quieter"):
        with pytest.raises(ValueError, match="needs a field of this name of its own"):
            SlotKind(name, GainSlot, fill, describe)


@pytest.mark.usefixtures("added")
def test_kinds_from_elsewhere_obey_the_rules_of_the_network() -> None:
    """Code of other people needs leave, and what a kind stores counts, inside of chains too."""

    def fill(slot: GainSlot, folder: Path) -> Any:
        return Invert()

    def describe(plugin: Any, folder: Path) -> dict[str, Any] | None:
        return {"louder": 1.0} if isinstance(plugin, Invert) else None

    def stored(plugin: Any) -> int | None:
        return 1000 if isinstance(plugin, Invert) else None

    kind = SLOTS.add(SlotKind("louder", GainSlot, fill, describe, stored=stored))
    text = b"slots: [{louder: 1}, {chain: [{louder: 1}]}]"
    small = Rules(lambda name, folder, bundle: None, most_values=1999)
    assert stored_values(plan_board("x.yaml", text).build()) == 2000
    with pytest.raises(BoardError, match=r"slots\[1\].chain\[0\]: the board holds"):
        plan_board("x.yaml", text, small).build()
    assert len(plan_board("x.yaml", text, replace(small, most_values=2000)).build()) == 2
    SLOTS.replace(replace(kind, native=True))
    with pytest.raises(BoardError, match=r"slots\[0\]: a louder slot runs code of other people.*--allow-plugins"):
        plan_board("x.yaml", text, small)
    assert plan_board("x.yaml", text, replace(small, plugins=True))
