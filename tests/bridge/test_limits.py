"""The work that one message can cause is bounded: loads, boards, patterns, renders."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest
import soundfile

from bridge import limits
from bridge.errors import BridgeError
from bridge.host import BoardHost, ForeignBoard, board_in
from bridge.host.latest import Latest
from bridge.host.sources import rules_of
from bridge.media import Media
from bridge.midi import MidiMap, MidiRouter
from bridge.osc import patterns
from bridge.osc.packets import decode, encode
from bridge.osc.tree import Tree
from bridge.rendering import Renders
from neural_fx.arrays import Audio
from neural_fx.boards import load_board, plan, plan_board, stored_values
from neural_fx.errors import BoardError
from neural_fx.foreign import Rules
from neural_fx.impulse import Convolution
from neural_fx.neural import load
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import TubeScreamer
from neural_fx.processor import Processor, Spec
from neural_fx.yaml_text import YamlError, read_yaml
from tests.bridge.test_media import SECONDS, asked, until
from tests.conftest import wavenet_document

RULES = rules_of(Media())


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


# -- the size of a board -------------------------------------------------------------------------------------------


def chains(depth: int) -> str:
    return "slots: [" + "{chain: [" * depth + "{plugin: Gain}" + "]}" * depth + "]"


def targets(count: int) -> str:
    to = ", ".join(["gain/gain_db"] * count)
    return f"slots: [{{plugin: Gain}}]\nmacros: [{{name: A, to: [{to}]}}]"


SIZES = {
    "slots: [" + "{plugin: Gain}, " * 65 + "]": "65 slots; a board from the network may have 64",
    "slots: [{chain: [" + "{plugin: Gain}, " * 64 + "]}]": "65 slots; a board from the network may have 64",
    "slots: [" + "{parallel: [{chain: []}]}, " * 33 + "]": "66 slots; a board from the network may have 64",
    chains(20): "slots nested more than 16 deep",
    chains(4000): "nested too deeply",
    targets(65): "65 parameters; a macro of a board from the network may have 64",
    "name: " + "x" * 2**17: "is over 128 KB, too large for a board from the network",
    "slots: [{plugin: Gain}]\nmacros: [" + "{name: A, to: mix}, " * 9 + "]": "at most 8",
    "&a [*a, *a]": "uses a YAML alias",
    "a: &a [x, x]\nb: &b [*a, *a]\nslots: *b": "uses a YAML alias",
    "- " * 20000: "nested too deeply",
    "{a: " * 20000: "nested too deeply",
    "slots: [{plugin: Gain, set: {gain_db: 0x" + "f" * 60000 + "}}]": "gain_db",
    "slots: [{plugin: Gain, set: {gain_db: " + "9" * 60000 + "}}]": "is too long",
    "slots: [{plugin: Gain, set: {gain_db: 1e999999999}}]": "finite",
    "slots: [{pedal: ds-1, name: '" + "n" * 65 + "'}]": "64 characters",
    "slots: [{plugin: " + "G" * 60000 + "}]": "unknown plugin",
    "slots: [{plugin: Gain, ? " + "k" * 60000 + " : 1}]": "unknown field",
    "? " + "k" * 60000 + "\n: 1\nslots: []": "unknown field",
    "slots: [*" + "a" * 60000 + "]": "uses a YAML alias",
    "slots: [{plugin: Gain, set: {? " + "k" * 60000 + " : 1}}]": "has no parameter",
    "slots: !!python/object/apply:os.system [ls]": "uses the YAML tag",
}


@pytest.mark.parametrize("text", list(SIZES), ids=[said[:40] for said in SIZES.values()])
def test_boards_that_are_too_large(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by the text alone: nothing is built, here or in a trial."""
    monkeypatch.setattr(plan, "_build_slot", None)
    with pytest.raises(BoardError, match=SIZES[text]) as refused:
        board_in(text, Media())
    assert len(str(refused.value)) <= 1000


def test_the_largest_board_passes() -> None:
    text = "slots: [" + "{plugin: Gain}, " * 64 + "]\n" + targets(64).partition("\n")[2]
    assert len(plan_board("x.yaml", text.encode(), RULES).build()) == 64
    assert len(plan_board("x.yaml", chains(14).encode(), RULES).build()) == 1


def test_the_users_own_boards_have_no_such_limits(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("slots: [" + "{plugin: Gain}, " * 100 + "]")
    assert len(load_board(tmp_path / "x.yaml")) == 100


def test_networks_and_responses_count(write: Callable[[Any, str], Path], tmp_path: Path) -> None:
    amp = load(write(wavenet_document(), "amp.nam"))
    weights = len(wavenet_document()["weights"])
    assert weights <= stored_values(amp) < 20 * weights + 100000
    assert stored_values(load(write(wavenet_document(), "amp.nam"), oversample=8)) > stored_values(amp)
    assert stored_values(Convolution(np.ones((2, 500), np.float32), sample_rate=48000)) == 1000
    assert stored_values(TubeScreamer()) > 1000
    assert stored_values(Pedalboard([pedalboard.Reverb(), Pedalboard([amp])])) == stored_values(amp)
    soundfile.write(tmp_path / "cab.wav", np.ones(500), 48000)
    media = Media([tmp_path])
    rules = Rules(media.find, most_values=1200)
    text = b"slots: [{chain: [{ir: cab.wav}]}, {parallel: [{ir: cab.wav}]}, {ir: cab.wav}]"
    with pytest.raises(BoardError, match=r"slots\[2\]: the board holds .* a board from the network may hold"):
        load_board(tmp_path / "x.yaml", text, rules)
    assert len(load_board(tmp_path / "x.yaml", text, Rules(media.find, most_values=1500))) == 3


def test_parameters_count(tmp_path: Path) -> None:
    rules = Rules(Media().find, most_parameters=3)
    with pytest.raises(BoardError, match="parameters; a board from the network may have 3"):
        load_board("x.yaml", b"slots: [{plugin: Reverb}]", rules)


def test_bundled_timbres_fit_many_times() -> None:
    text = "slots: [" + "{timbre: violin, morph_to: flute}, " * 4 + "{pedal: big-muff, oversample: 8}]"
    assert len(load_board("x.yaml", text.encode(), RULES)) == 5


@pytest.mark.parametrize("text", ["[" * 3000, "a:\n" + "".join(" " * i + "a:\n" for i in range(600)), "? " * 3000])
def test_deep_yaml_is_refused_on_any_thread(text: str) -> None:
    found: list[BaseException] = []

    def work() -> None:
        try:
            read_yaml(text.encode())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(SECONDS)
    (error,) = found
    assert isinstance(error, YamlError)


# -- loads ---------------------------------------------------------------------------------------------------------


class Gate:
    """Holds loads until it is opened, and counts those that run at once."""

    def __init__(self) -> None:
        self.opened, self.began = threading.Event(), threading.Event()
        self.running = self.most = 0
        self.lock = threading.Lock()

    def __call__(self) -> Pedalboard:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.began.set()
        assert self.opened.wait(SECONDS)
        with self.lock:
            self.running -= 1
        return Pedalboard()


def test_a_flood_of_loads_runs_the_first_and_the_last() -> None:
    host = BoardHost("lead", Pedalboard)
    gate, events = Gate(), []
    threads = threading.active_count()
    host.load_soon(lambda: gate, lambda: events.append("first"), events.append)
    assert gate.began.wait(SECONDS)
    for i in range(1000):
        host.load_soon(lambda: gate, lambda i=i: events.append(i), events.append)  # type: ignore[misc]
    assert threading.active_count() <= threads + 2
    assert len(events) == 999
    assert {str(event) for event in events} == {"not loaded: another load of this board came before it began"}
    gate.opened.set()
    until(lambda: len(events) == 1001)
    assert events[-2:] == ["first", 999]
    assert gate.most == 1


def test_loads_of_different_boards_do_not_wait_for_each_other() -> None:
    gate, done = Gate(), threading.Event()
    BoardHost("slow", Pedalboard).load_soon(lambda: gate, lambda: None, lambda sentence: None)
    assert gate.began.wait(SECONDS)
    BoardHost("quick", Pedalboard).load_soon(lambda: Pedalboard, done.set, lambda sentence: None)
    assert done.wait(SECONDS)
    gate.opened.set()


def test_a_load_that_fails_or_whose_peer_is_gone_does_not_stop_the_next() -> None:
    host = BoardHost("lead", Pedalboard)

    def broken(*ignored: object) -> Any:
        raise RuntimeError("boom")

    for done, failed in itertools.product((lambda: None, broken), (lambda sentence: None, broken)):
        host.load_soon(broken, done, failed)
        host.load_soon(lambda: Pedalboard, done, failed)
    last = threading.Event()
    until(lambda: not host._loads._busy)
    host.load_soon(lambda: Pedalboard, last.set, lambda sentence: None)
    assert last.wait(SECONDS)


def test_the_queue_survives_a_system_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*ignored: object) -> None:
        raise RuntimeError("can't start new thread")

    loads, dropped, done = Latest("load"), threading.Event(), threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        loads.put(done.set, dropped.set)
    assert dropped.is_set()
    loads.put(done.set, lambda: None)
    assert done.wait(SECONDS)


def test_a_flood_over_osc_is_answered(media: Path) -> None:
    (media / "a.yaml").write_text("slots: [{plugin: Gain}]")
    tree = Tree({"lead": BoardHost("lead", Pedalboard), "bass": BoardHost("bass", Pedalboard)}, Media([media]))
    replies: list[Any] = []
    threads = threading.active_count()
    for message in decode(encode("/*/load", "a.yaml")) * 200:
        tree.handle(message, lambda *reply: replies.append(reply))
        assert threading.active_count() <= threads + 4
    until(lambda: len(replies) == 400)
    kinds = [reply[0] for reply in replies]
    assert kinds.count("/lead/load") >= 1
    assert kinds.count("/bass/load") >= 1
    assert set(kinds) == {"/lead/load", "/bass/load", "/error"}
    assert all("another load" in reply[2] for reply in replies if reply[0] == "/error")


def test_a_stream_opened_during_a_load_gets_the_new_board() -> None:
    """And a board that was loaded while a stream was being opened is the one that the stream plays."""
    host, gate = BoardHost("lead", Pedalboard), Gate()
    loading = threading.Thread(target=lambda: host.load(gate), daemon=True)
    loading.start()
    assert gate.began.wait(SECONDS)
    stream = host.open(Spec(48000, 1, 64))
    gate.opened.set()
    loading.join(SECONDS)
    assert stream.next is not None

    def slow() -> Pedalboard:
        if host.make is slow:
            host.load(lambda: Pedalboard([TubeScreamer()]))
        return Pedalboard()

    host.make = slow
    late = host.open(Spec(48000, 1, 64))
    assert len(late.voice.board) == 1


# -- patterns ------------------------------------------------------------------------------------------------------

HARD = (
    "/*/*/*" + "{,a,b,c,d,e,f,g}" * 25,
    "/*/*/" + "*a" * 16 + "{,x}" * 60,
    "/*/*/*" + "[!a-z]" * 3 + "[a-z0-9_-]" * 40,
    "/*/*/*" + "{" + ",".join(map(chr, range(48, 123))) + "}" * 5,
    "/*/*/" + "?" * 200,
    "/*/*/" + "[" * 400,
    "/*/*/" + "{" * 400,
    "/*" * 250,
    "/" + "{" + ",".join("abcdefgh") * 20 + "}" * 3,
)


@pytest.mark.parametrize("pattern", HARD)
def test_patterns_cost_a_bounded_number_of_steps(pattern: str) -> None:
    """Steps are counted, not seconds: the search ends soon after its budget."""
    addresses = [f"/lead/slot-{i % 60}/parameter-with-a-long-name-{i}" for i in range(4096)]
    search = patterns._Search([patterns._tokens(part) for part in pattern.split("/")])
    try:
        for address in addresses:
            search.fits(address)
    except BridgeError as error:
        assert "simpler pattern" in str(error)
    assert search._steps <= limits.OSC_PATTERN_STEPS + 100 * 512


def test_long_patterns_look_at_no_address() -> None:
    def addresses() -> Iterator[str]:
        pytest.fail("an address was compared")
        yield ""

    assert patterns.matching("/" + "*" * 600, addresses()) == []


def test_a_pattern_stands_for_a_bounded_number_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree({"lead": BoardHost("lead", Pedalboard)}, Media())
    many = [f"/lead/slot/{i}" for i in range(limits.OSC_MATCHES + 1)]
    monkeypatch.setattr(tree, "addresses", lambda: many)
    (reply,) = asked(tree, "/lead/*/*")
    assert reply == ("/error", "/lead/*/*", f"matches {len(many)} addresses; a message may match {limits.OSC_MATCHES}")
    (reply,) = asked(tree, HARD[0])
    assert "simpler pattern" in reply[2] or "matches no address" in reply[2]


def test_learned_addresses_fit_the_map() -> None:
    """A long one is refused when it is sent, not when the controller moves."""
    router = MidiRouter({"lead": BoardHost("lead", Pedalboard)}, MidiMap())
    tree = Tree(router.boards, Media(), router.learn)  # type: ignore[arg-type]
    for message in decode(encode("/midi/learn", "/" * 900 + "lead/mix" + "/" * 900)):
        tree.handle(message, lambda *reply: pytest.fail(str(reply)))
    router.feed(bytes([0xB0, 7, 64]))
    assert [binding.to for binding in router.midi.controls] == ["lead/mix"]
    host = BoardHost("lead", lambda: Pedalboard([pedalboard.Gain()]))
    for slot in host.master:
        host.master.name_slot(slot, "s" * 300)
    router.boards = {"lead": host}
    with pytest.raises(BridgeError, match="at most 256 can be learned"):
        router.learn("lead/" + "s" * 300 + "/gain_db")


def test_any_error_of_a_plugin_is_a_reply() -> None:
    tree = Tree({"lead": BoardHost("lead", Pedalboard)}, Media())

    def broken(*ignored: object) -> None:
        raise KeyError("of a plugin")

    tree.boards["lead"].set = broken  # type: ignore[method-assign]
    assert asked(tree, "/lead/mix", 0.5) == [("/error", "/lead/mix", "'of a plugin'")]


# -- renders -------------------------------------------------------------------------------------------------------


class Slow(Processor):
    """Waits at every block until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go_on = threading.Event(), threading.Semaphore(0)

    def process_block(self, block: Audio) -> Audio:
        self.began.set()
        assert self.go_on.acquire(timeout=SECONDS)
        return block


class Queue:
    """A queue of renders through one `Slow` processor."""

    def __init__(self, media: Path) -> None:
        self.slow = Slow()
        board = Pedalboard([self.slow])
        self.renders = Renders(Media([media]), {"lead": BoardHost("lead", lambda: board)})
        self.replies: list[tuple[Any, ...]] = []

    def start(self, name: str, **options: Any) -> None:
        self.renders.start("in.wav", name, "lead", lambda *reply: self.replies.append(reply), **options)

    def ended(self) -> list[tuple[Any, ...]]:
        return [reply for reply in self.replies if reply[0] in ("/render/done", "/render/error")]

    def finish(self) -> None:
        self.slow.go_on.release(10000)
        until(lambda: not self.renders.renders)


@pytest.fixture
def renders(media: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    soundfile.write(media / "in.wav", np.zeros(300000), 48000)
    made = Queue(media)
    monkeypatch.setattr(BoardHost, "copy", lambda self, spec=None: self.make())
    yield made
    made.renders.close()
    made.slow.go_on.release(10000)
    made.renders.pool.shutdown()


def test_a_render_ends_when_its_peer_is_gone(renders: Queue, media: Path) -> None:
    gone = threading.Event()
    renders.start("a.wav", abandoned=gone.is_set)
    renders.start("b.wav", abandoned=gone.is_set)
    renders.start("c.wav")
    assert renders.slow.began.wait(SECONDS)
    gone.set()
    renders.finish()
    assert [reply[0] for reply in renders.ended()] == ["/render/error", "/render/error", "/render/done"]
    assert [path.name for path in sorted(media.iterdir())] == ["c.wav", "in.wav"]


def test_renders_are_cancelled_by_name_or_number(renders: Queue, media: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        renders.start(name)
    assert renders.slow.began.wait(SECONDS)
    numbers = {render.name: number for number, render in renders.renders.renders.items()}
    assert renders.renders.cancel("a.wav") == [numbers["a.wav"]]
    assert renders.renders.cancel(numbers["b.wav"]) == [numbers["b.wav"]]
    for wrong in ("d.wav", 0, -1, "in.wav"):
        with pytest.raises(BridgeError, match="no render"):
            renders.renders.cancel(wrong)
    renders.finish()
    assert [reply[:2] for reply in renders.ended()] == [
        ("/render/error", numbers["a.wav"]), ("/render/error", numbers["b.wav"]), ("/render/done", numbers["c.wav"]),
    ]  # fmt: skip
    assert not (media / "a.wav").exists()


def test_one_peer_cannot_fill_the_queue(renders: Queue) -> None:
    for i in range(limits.RENDERS_OF_ONE_PEER):
        renders.start(f"{i}.wav", peer="one")
    with pytest.raises(BridgeError, match="renders of yours"):
        renders.start("more.wav", peer="one")
    renders.start("other.wav", peer="two")
    for i in range(limits.RENDERS_WAITING - limits.RENDERS_OF_ONE_PEER - 1):
        renders.start(f"more-{i}.wav", peer=i)
    with pytest.raises(BridgeError, match="renders are waiting already"):
        renders.start("last.wav", peer="three")
    renders.renders.close()
    renders.finish()
    with pytest.raises(BridgeError, match="about to end"):
        renders.start("late.wav")
    assert not renders.renders.renders


def test_long_files_are_refused(renders: Queue, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RENDER_SECONDS", 5.0)
    renders.start("a.wav")
    until(lambda: bool(renders.ended()))
    ((address, _, sentence),) = renders.ended()
    assert address == "/render/error"
    assert "cut it into parts" in sentence
    assert not (media / "a.wav").exists()


def test_plugins_that_keep_all_audio_get_less_of_it(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(media / "in.wav", np.zeros(96000), 48000)
    renders = Renders(Media([media]), {"lead": BoardHost("lead", lambda: Pedalboard([pedalboard.PitchShift(3)]))})
    for limit, end in ((1.0, "/render/error"), (2.0, "/render/done")):
        replies: list[tuple[Any, ...]] = []
        monkeypatch.setattr(limits, "RENDER_SECONDS_AT_ONCE", limit)
        renders.start("in.wav", "a.wav", "lead", lambda *reply, replies=replies: replies.append(reply))
        until(lambda: not renders.renders)
        assert replies[-1][0] == end
    renders.pool.shutdown()


def test_renders_are_cancelled_over_osc(media: Path) -> None:
    soundfile.write(media / "in.wav", np.zeros(300000), 48000)
    slow = Slow()
    board = Pedalboard([slow])
    tree = Tree({"lead": BoardHost("lead", lambda: board)}, Media([media]))
    tree.boards["lead"].copy = lambda spec=None: board  # type: ignore[method-assign]
    replies: list[Any] = []
    for message in decode(encode("/render", "in.wav", "a.wav", "lead")):
        tree.handle(message, lambda *reply: replies.append(reply))
    assert slow.began.wait(SECONDS)
    assert asked(tree, "/render/cancel", "b.wav")[0][0] == "/error"
    ((address, number),) = asked(tree, "/render/cancel", "a.wav")
    assert address == "/render/cancel"
    slow.go_on.release(1000)
    until(lambda: replies[-1:] == [("/render/error", number, "cancelled; no file was written")])
    assert not (media / "a.wav").exists()
    tree.close()


def test_a_transport_says_whose_render_it_is(media: Path) -> None:
    soundfile.write(media / "in.wav", np.zeros(100), 48000)
    slow = Slow()
    board = Pedalboard([slow])
    tree = Tree({"lead": BoardHost("lead", lambda: board)}, Media([media]))
    tree.boards["lead"].copy = lambda spec=None: board  # type: ignore[method-assign]
    gone = threading.Event()
    replies: list[Any] = []
    for i in range(limits.RENDERS_OF_ONE_PEER + 1):
        for message in decode(encode("/render", "in.wav", f"{i}.wav", "lead")):
            tree.handle(message, lambda *reply: replies.append(reply), gone.is_set, "peer")
    assert [reply[2] for reply in replies if reply[0] == "/error"] == ["16 renders of yours are waiting already"]
    assert slow.began.wait(SECONDS)
    gone.set()
    slow.go_on.release(1000)
    until(lambda: not tree.renders.renders)
    assert [path.name for path in media.iterdir()] == ["in.wav"]
    tree.close()


def test_nothing_is_built_by_a_save(media: Path) -> None:
    built: list[int] = []

    def make() -> Pedalboard:
        built.append(1)
        return Pedalboard([TubeScreamer(drive=0.25)])

    host = BoardHost("lead", make)
    host.set("tube-screamer/drive", 0.75)
    host.set("mix", 0.5)
    before = len(built)
    host.save(media / "a.yaml")
    assert len(built) == before
    again = load_board(media / "a.yaml")
    assert (again[0].drive, again.mix) == (0.75, 0.5)  # type: ignore[union-attr]
    assert "name" not in (media / "a.yaml").read_text()


def test_names_that_a_board_gives_survive_a_save(media: Path) -> None:
    slots = "slots: [{plugin: Gain, name: boost}, {plugin: Gain}]"
    text = f"name: Mine\n{slots}\nmacros: [{{name: Loud, to: boost/gain_db}}]\n"
    host = BoardHost("lead", ForeignBoard(media / "x.yaml", text.encode(), Media([media])))
    host.save(media / "a.yaml")
    again = load_board(media / "a.yaml")
    assert again.name == "Mine"
    assert [again.given_name(plugin) for plugin in again] == ["boost", None]
    assert [macro.name for macro in again.macros] == ["Loud"]
