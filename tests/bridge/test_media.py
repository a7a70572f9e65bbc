"""Every place where the network can name a file: the same rules, and the same answer whatever is on the disk."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bridge.config import Config, read_config
from bridge.errors import BridgeError
from bridge.host import BoardHost, board_from, board_in
from bridge.media import Media
from bridge.midi import MidiMap, MidiRouter, Program
from bridge.osc.packets import decode, encode
from bridge.osc.tree import Tree
from neural_fx.errors import BoardError, NeuralFXError
from neural_fx.formats import read
from neural_fx.inputs import printable
from neural_fx.pedalboard import Pedalboard
from neural_fx.values import shown

SECONDS = 60
"""Longest wait for something that takes a second on an idle machine."""


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A media folder beside a folder of secrets, with every kind of thing that a name can lead to."""
    folder, secret = tmp_path / "media", tmp_path / "secret"
    folder.mkdir()
    secret.mkdir()
    cab = np.float32([0.5, 0.25, 0.1])
    for place in (folder, secret):
        soundfile.write(place / "cab.wav", cab, 48000, subtype="FLOAT")
    (secret / "board.yaml").write_text("slots: []\n")
    (folder / "sub").mkdir()
    soundfile.write(folder / "sub" / "cab.wav", cab, 48000, subtype="FLOAT")
    (folder / "link.wav").symlink_to(secret / "cab.wav")
    (folder / "broken.wav").symlink_to(secret / "nothing.wav")
    (folder / "out").symlink_to(secret)
    (folder / "circle").symlink_to("circle")
    (folder / "proc").symlink_to("/proc/self")
    (folder / "zero.wav").symlink_to("/dev/zero")
    (folder / ".hidden.wav").write_bytes((folder / "cab.wav").read_bytes())
    (folder / "shown.wav").symlink_to(".hidden.wav")
    (folder / ".neural-fx-0123.part.wav").write_bytes(b"x")
    (folder / "locked.wav").write_bytes((folder / "cab.wav").read_bytes())
    (folder / "locked.wav").chmod(0)
    return folder


@pytest.fixture
def specials(media: Path) -> Iterator[None]:
    """A pipe that nobody writes to, and a socket, in the media folder."""
    os.mkfifo(media / "pipe.wav")
    here = os.getcwd()
    os.chdir(media)  # a socket's path has at most about 100 characters
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.wav")
        os.chdir(here)
        yield


def names_that_are_refused(media: Path) -> list[str]:
    outside = media.parent / "secret"
    return [
        str(outside / "cab.wav"), str(outside / "nothing.wav"), "../secret/cab.wav", "../secret/nothing.wav",
        "sub/../../secret/cab.wav", "nothing/../../secret/cab.wav", "link.wav", "broken.wav", "out/cab.wav",
        "out/nothing.wav", "out/../cab.wav/../../secret/cab.wav", "circle", "circle/cab.wav", "proc/maps", "proc/mem",
        "proc/fd/0", "zero.wav", "/dev/zero", "/dev/stdin", "/proc/self/environ", "/etc/passwd", "/etc/nothing",
        "~/cab.wav", "~root/cab.wav", "~nobody-of-that-name/cab.wav", ".hidden.wav", "shown.wav", "./.hidden.wav",
        ".neural-fx-0123.part.wav", "nothing.wav", "n" * 300 + ".wav", "n/" * 400 + "x", "n" * 5000, "cab.wav\0",
        "cab.wav\n", "\x1b[31mcab.wav", "C:cab.wav", "C:\\cab.wav", "\\\\server\\share\\cab.wav", "//server/share/cab",
        "sub\\cab.wav", ".", "..", "/", "", " ", "sub", "sub/", "\ud800.wav", "cab.wav/", "cab.wav/x",
    ]  # fmt: skip


def without_name(text: str, name: str) -> str:
    """A sentence without the name that it quotes, which is all that may differ."""
    return text.replace(shown(name), "NAME").partition(" (did you mean")[0].partition("; bundled")[0]


# -- the one function ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("specials")
def test_what_may_not_be_read_is_not_there(media: Path) -> None:
    fence = Media([media])
    readable = os.access(media / "locked.wav", os.R_OK)  # the superuser reads everything
    names = [*names_that_are_refused(media), "pipe.wav", "socket.wav", *([] if readable else ["locked.wav"])]
    sentences = set()
    for name in names:
        with pytest.raises(BridgeError) as refused:
            pytest.fail(f"{name!r} leads to {fence.existing(name)}")
        sentences.add(str(refused.value).partition("no file ")[0])
        assert str(refused.value).endswith("in the media folders, or its name leads out of them")
        assert len(str(refused.value)) < 300
    assert sentences == {""}
    for name in ("cab.wav", "sub/cab.wav", "./sub/../cab.wav", str(media / "cab.wav"), f"../{media.name}/cab.wav"):
        assert fence.existing(name).name == "cab.wav"


@pytest.mark.usefixtures("specials")
def test_what_may_not_be_written(media: Path) -> None:
    before = sorted(media.rglob("*"))
    for overwrite in (False, True):
        fence = Media([media], overwrite)
        for name in [*names_that_are_refused(media), "pipe.wav", "socket.wav"]:
            inside = name in ("nothing.wav", "n" * 300 + ".wav")
            if inside:
                assert fence.new(name, [".wav"]) == media / name
                continue
            with pytest.raises(BridgeError):
                fence.new(name, [".wav"])
    assert sorted(media.rglob("*")) == before


def test_new_names_outside_get_one_answer(media: Path) -> None:
    (media.parent / "secret" / "taken.wav").write_text("x")
    names = ["../secret/taken.wav", "../secret/free.wav", "out/taken.wav", "out/free.wav", "/etc/passwd", "/no/where",
             "../secret", "nowhere/x.wav", "~root/x.wav", ".x.wav", "broken.wav"]  # fmt: skip
    found = set()
    for name in names:
        for fence in (Media([media]), Media([media], True)):
            with pytest.raises(BridgeError) as refused:
                fence.new(name, [".wav"])
            found.add(without_name(str(refused.value), name))
    assert len(found) == 1


def test_a_link_does_not_lend_its_suffix(media: Path) -> None:
    (media / "board.yaml").write_text("slots: []\n")
    (media / "song.wav").symlink_to("board.yaml")
    with pytest.raises(BridgeError, match=r"must end in \.wav"):
        Media([media], overwrite=True).new("song.wav", [".wav"])


def test_a_media_folder_that_is_a_link_or_missing(media: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(media)
    fence = Media([tmp_path / "alias"])
    for name in ("cab.wav", str(tmp_path / "alias" / "cab.wav"), str(media / "cab.wav")):
        assert fence.existing(name) == media / "cab.wav"
    (tmp_path / "round").symlink_to("round")
    for folder in (tmp_path / "round", tmp_path / "none"):
        with pytest.raises(BridgeError, match="no file"):
            Media([folder]).existing("cab.wav")
        with pytest.raises(BridgeError, match="no such folder"):
            Media([folder]).new("cab.wav")


# -- boards --------------------------------------------------------------------------------------------------------

FIELDS = (
    "ir: NAME",
    "model: NAME",
    "timbre: NAME",
    "{timbre: violin, morph_to: NAME}",
    "instrument: NAME",
    "{instrument: violin, morph_to: NAME}",
    "vst3: NAME",
    "chain: [{ir: NAME}]",
    "parallel: [{plugin: Gain}, {chain: [{model: NAME}]}]",
)
"""Every field of a board file that can name a file."""


def slot(field: str, name: str) -> str:
    """A board with one slot; the name is written as JSON, which holds any."""
    inner = field.replace("NAME", json.dumps(name))
    return f"slots:\n- {inner}\n"


@pytest.mark.usefixtures("specials")
@pytest.mark.parametrize("field", FIELDS)
def test_boards_name_files_under_the_same_rules(media: Path, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(media.parent / "secret")  # nothing is looked up where the worker runs
    fence = Media([media], plugins=True)
    found = set()
    for name in [*names_that_are_refused(media), "pipe.wav", "cab"]:
        if name == "sub" or name != name.strip() or not name:  # a plugin may be a folder; boards strip the names
            continue
        with pytest.raises(BoardError, match="outside the folders") as refused:
            board_in(slot(field, name), fence)
        found.add(without_name(printable(str(refused.value)), name))
    assert len(found) == 1


@pytest.mark.parametrize("field", FIELDS)
def test_boards_loaded_by_name_obey_them_too(media: Path, field: str) -> None:
    host = BoardHost("lead", Pedalboard)
    tree = Tree({"lead": host}, Media([media], plugins=True))
    answers = set()
    for name in (str(media.parent / "secret" / "cab.wav"), str(media.parent / "secret" / "nothing.wav"), "link.wav"):
        (media / "board.yaml").write_text(slot(field, name))
        ((address, about, sentence),) = asked(tree, "/lead/load", "board.yaml")
        assert (address, about) == ("/error", "/lead/load")
        assert "outside the folders that this board may use" in sentence
        answers.add(without_name(sentence, name))
    assert len(answers) == 1
    assert len(host.master) == 0


def asked(tree: Tree, address: str, *arguments: Any) -> list[Any]:
    """The replies to a message, at least one."""
    found: list[Any] = []
    for message in decode(encode(address, *arguments)):
        tree.handle(message, lambda *reply: found.append(reply))
    until(lambda: bool(found))
    return found


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_answer_does_not_tell_where_the_folder_is(media: Path) -> None:
    (media / "cab.wav").write_text("not audio")
    (media / "bad.yaml").write_text("slots: 3")
    (media / "board.yaml").write_text("slots: [{ir: cab.wav}]")
    tree = Tree({"lead": BoardHost("lead", Pedalboard)}, Media([media]))
    replies = [
        *asked(tree, "/lead/load", "bad.yaml"),
        *asked(tree, "/lead/load", "board.yaml"),
        *asked(tree, "/lead/load", "cab.wav"),
        *asked(tree, "/render", "cab.wav", "x.wav", "lead"),
    ]
    tree.close()
    for reply in replies:
        assert reply[0] in ("/error", "/render/error")
        assert str(media.parent) not in str(reply)


def test_names_in_a_board_are_relative_to_its_folder(media: Path) -> None:
    tree = Tree({"lead": BoardHost("lead", Pedalboard)}, Media([media]))
    (media / "sub" / "board.yaml").write_text(
        "slots:\n- ir: cab.wav\n- ir: ../cab.wav\n- timbre: violin\n- pedal: ds-1"
    )
    assert asked(tree, "/lead/load", "sub/board.yaml") == [("/lead/load", "board.yaml")]
    responses = [plugin.path for plugin in tree.boards["lead"].copy()[:2]]  # type: ignore[union-attr]
    assert responses == [media / "sub" / "cab.wav", media / "cab.wav"]


def test_a_link_inside_the_folder_is_followed(media: Path) -> None:
    (media / "same.wav").symlink_to("sub/cab.wav")
    board = board_in("slots: [{ir: same.wav}]", Media([media]))()
    assert board[0].path == media / "sub" / "cab.wav"  # type: ignore[union-attr]


def test_captures_are_loaded_by_name(media: Path, shared: Path) -> None:
    capture = next(path for path in sorted((shared / "models").rglob("*.nam")) if _is_capture(path))
    (media / "amp.nam").write_bytes(capture.read_bytes())
    (media / "link.nam").symlink_to(capture)
    host = BoardHost("lead", Pedalboard)
    tree = Tree({"lead": host}, Media([media]))
    assert asked(tree, "/lead/load", "link.nam")[0][0] == "/error"
    assert asked(tree, "/lead/load", "amp.nam") == [("/lead/load", "amp.nam")]
    assert "amp/input_gain_db" in host.table()


def _is_capture(path: Path) -> bool:
    try:
        read(path)
    except NeuralFXError:
        return False
    return True


def test_plugins_need_leave(media: Path) -> None:
    """Native code of somebody else: refused without a look at the disk, whatever the name is."""
    (media / "Evil.vst3").mkdir()
    sentences = set()
    for name in ("Evil.vst3", "None.vst3", "/usr/lib/vst3/X.vst3"):
        with pytest.raises(BoardError, match="--allow-plugins") as refused:
            board_in(f"slots: [{{vst3: {name}}}]", Media([media]))
        sentences.add(str(refused.value))
        (media / "board.yaml").write_text(f"slots: [{{chain: [{{vst3: {name}}}]}}]")
        tree = Tree({"lead": BoardHost("lead", Pedalboard)}, Media([media]))
        assert "--allow-plugins" in asked(tree, "/lead/load", "board.yaml")[0][2]
    assert len(sentences) == 1
    with pytest.raises(BoardError) as failed:
        board_in("slots: [{vst3: Evil.vst3}]", Media([media], plugins=True))
    assert "--allow-plugins" not in str(failed.value), "with leave it is tried, and is not a plugin"


# -- what the user names -------------------------------------------------------------------------------------------


def test_the_users_own_boards_use_any_file(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = media.parent / "secret"
    (secret / "mine.yaml").write_text(f"slots:\n- ir: cab.wav\n- ir: {media}/cab.wav\n")
    assert len(board_from(secret / "mine.yaml")()) == 2
    monkeypatch.setenv("HOME", str(secret))
    (secret / "home.yaml").write_text("slots: [{ir: ~/cab.wav}]")
    assert len(board_from(secret / "home.yaml")()) == 1


def test_a_user_who_does_not_exist_is_no_traceback(media: Path) -> None:
    for field in ("ir: NAME", "model: NAME", "timbre: NAME", "instrument: NAME"):
        (media / "board.yaml").write_text(slot(field, "~nobody-of-that-name/x.wav"))
        with pytest.raises(BoardError, match="nobody-of-that-name"):
            board_from(media / "board.yaml")()
    (media / "worker.yaml").write_text("instruments: {solo: ~nobody-of-that-name/x.safetensors}")
    config = read_config(media / "worker.yaml")
    assert isinstance(config, Config)
    assert "nobody-of-that-name" in config.instruments["solo"]


def test_programs_of_the_config_are_the_users_own(media: Path) -> None:
    (media.parent / "secret" / "board.yaml").write_text("slots: [{ir: cab.wav}]")
    said: list[str] = []
    host = BoardHost("lead", Pedalboard)
    program = Program(program=5, board="lead", file=media.parent / "secret" / "board.yaml")
    router = MidiRouter({"lead": host}, MidiMap(programs=[program]), said.append)
    router.feed(bytes([0xC0, 5]))
    until(lambda: bool(said))
    assert said == ["lead: program 5, board.yaml"]
    assert len(host.master) == 1


# -- saving and rendering ------------------------------------------------------------------------------------------


@pytest.fixture
def tree(media: Path) -> Iterator[Tree]:
    made = Tree({"lead": BoardHost("lead", Pedalboard)}, Media([media]))
    yield made
    made.close()


@pytest.mark.parametrize("name", ["x.wav", "x", "x.yaml.txt", "x.py", ".x.yaml", "sub/.x.yaml", ".yaml", "x.YAML~"])
def test_only_board_files_are_saved(tree: Tree, media: Path, name: str) -> None:
    before = sorted(media.rglob("*"))
    assert asked(tree, "/lead/save", name)[0][0] == "/error"
    assert sorted(media.rglob("*")) == before


@pytest.mark.parametrize("name", ["x.yaml", "x", "x.raw", "x.wav.sh", ".x.wav", ".wav", ".bashrc", "x.nam"])
def test_only_audio_is_rendered(tree: Tree, media: Path, name: str) -> None:
    before = sorted(media.rglob("*"))
    ((address, about, _),) = asked(tree, "/render", "cab.wav", name, "lead")
    assert (address, about) == ("/error", "/render")
    assert sorted(media.rglob("*")) == before


@pytest.mark.parametrize("name", ["x.yaml", "sub/x.yml", "X.YAML", "caf\u00e9.yaml"])
def test_boards_are_saved_and_found_again(tree: Tree, name: str) -> None:
    assert asked(tree, "/lead/save", name) == [("/lead/save", Path(name).name)]
    assert asked(tree, "/lead/load", name) == [("/lead/load", Path(name).name)]


@pytest.mark.usefixtures("specials")
def test_render_sources_obey_the_rules(tree: Tree, media: Path) -> None:
    for name in [*names_that_are_refused(media), "pipe.wav", "socket.wav"]:
        if "\0" in name or "\ud800" in name:  # OSC text has neither
            continue
        ((address, about, sentence),) = asked(tree, "/render", name, "x.wav", "lead")
        assert (address, about) == ("/error", "/render")
        assert "no file" in sentence or "expected a file name" in sentence
    assert not (media / "x.wav").exists()


# -- text in replies -----------------------------------------------------------------------------------------------


def test_replies_are_printable_and_short(tree: Tree) -> None:
    nasty = "\x1b]0;gone\x07\u202e\x9b31m\r\n"
    for address, arguments in (
        ("/lead/load", [nasty]), ("/lead/save", [nasty * 2000]), ("/render", [nasty, nasty, nasty]),
        ("/lead/" + nasty.strip(), [1.0]), ("/" + nasty.strip() + "/mix", []), ("/midi/learn", [nasty]),
        ("/render/cancel", [nasty]), ("/lead/mix", [nasty]), ("/lead/load", [b"\x1b" * 50000]),
    ):  # fmt: skip
        found: list[Any] = []
        for message in decode(encode(address, *arguments)):
            tree.handle(message, lambda *reply, found=found: found.append(reply))
        (reply,) = found
        assert reply[0] == "/error"
        for text in reply[1:]:
            assert len(text) <= 2000
            assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text), text
            assert "\u202e" not in text


def test_printable_text_is_left_alone() -> None:
    for text in ("caf\u00e9 \u97f3.wav", "two\nlines\tand a tab", "\u3000wide\u00a0space", "\U0001f3b8"):
        assert printable(text) == text
    assert printable("a\x1b[0m\x00b") == "a\\x1b[0m\\x00b"
    assert printable("\ud800 \udce9") == "\\ud800 \\xe9"


def test_no_file_is_opened_for_long(media: Path, tree: Tree) -> None:
    """A flood of names leaves no descriptors open."""
    fence = Media([media])
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(2000):
        fence.existing("cab.wav")
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 8  # other threads may open some
    assert threading.active_count() < 50
