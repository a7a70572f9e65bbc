"""One object, several callers: threads, places in a chain, copies, processes."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pedalboard
import pytest
import soundfile

import neural_fx
from bridge.errors import BridgeError, ProtocolError
from instruments import DDSP, InstrumentPlayer
from neural_fx import errors
from neural_fx.boards import native_plugins
from neural_fx.formats import read
from neural_fx.neural import NeuralProcessor
from neural_fx.placement import DeviceError
from neural_fx.render import Output, render_file
from neural_fx.training.circuits.spice import SpiceError
from tests.conftest import DOCUMENTS, noise

Write = Callable[..., Path]
Make = Callable[[Write], Any]


def neural(write: Write, kind: str = "wavenet", **options: Any) -> NeuralProcessor:
    return NeuralProcessor(read(write(DOCUMENTS[kind](), f"{kind}.nam")), **options)


class Smoother(neural_fx.Processor):
    """A user's processor: a moving state that `prepare` makes."""

    PARAMETERS = (neural_fx.Parameter("amount", 0, 1, 0.9),)
    amount: float

    def __init__(self) -> None:
        super().__init__()
        self.kept = [1.0]

    def prepare(self, spec: neural_fx.Spec) -> None:
        self.before = np.zeros((spec.channels, 1), np.float32)

    def process_block(self, block: np.ndarray) -> np.ndarray:
        """A sample and a part of the one before it."""
        line = np.concatenate((self.before, block), 1)
        self.before = line[:, -1:]
        return line[:, 1:] + np.float32(self.amount) * line[:, :-1]


def board(write: Write) -> neural_fx.Pedalboard:
    inner = neural_fx.Mix([neural_fx.Chain([pedalboard.Delay(0.01)]), neural(write, "lstm")])
    made = neural_fx.Pedalboard([pedalboard.Reverb(), neural(write), inner, pedalboard.Resample(8000.0)], mix=0.7)
    made.name_slot(made[1], "amp")
    return made


PROCESSORS: dict[str, Make] = {
    "capture": neural,
    "capture, oversampled": lambda write: neural(write, oversample=2),
    "sizes": lambda write: neural(write, "container"),
    "recurrent": lambda write: neural(write, "guitarml-lstm"),
    "pedal": lambda write: neural_fx.pedals.TubeScreamer(drive=0.3),
    "timbre": lambda write: neural_fx.timbre.TimbreTransfer("flute", octave=1),
    "user's": lambda write: Smoother(),
    "board": board,
    "chain in chain": lambda write: neural_fx.Chain([neural_fx.Chain([Smoother()]), pedalboard.Chorus()]),
    "native chain": lambda write: neural_fx.Pedalboard([pedalboard.Chain([pedalboard.Delay(0.01)]), Smoother()]),
    "instrument in a board": lambda write: neural_fx.Pedalboard([InstrumentPlayer(DDSP("flute", octave=1))]),
}


@pytest.fixture(params=PROCESSORS)
def made(request: pytest.FixtureRequest, write: Write) -> Any:
    return PROCESSORS[request.param](write)


# -- threads -----------------------------------------------------------------------------------------------------------


def test_eight_threads_get_what_one_gets(made: Any) -> None:
    inputs = [noise(3000 + 500 * i, 2, seed=i) for i in range(24)]
    alone = [made(x, 44100) for x in inputs]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda x: made(x, 44100), inputs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_boards_that_share_members_wait_for_each_other(write: Write) -> None:
    """Neural and native members, in opposite orders: neither wrong nor waiting for ever."""
    delay, amp, chorus = pedalboard.Delay(0.01), neural(write), pedalboard.Chorus()
    one, other = (
        neural_fx.Pedalboard([amp, delay, chorus]),
        neural_fx.Pedalboard([chorus, delay, neural_fx.Chain([amp])]),
    )
    inputs = [noise(6000, seed=i) for i in range(16)]
    calls = [(one if i % 2 else other, x) for i, x in enumerate(inputs)]
    alone = [call(x, 48000, buffer_size=512) for call, x in calls]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda item: item[0](item[1], 48000, buffer_size=512), calls))
    for expected, found in zip(alone, together, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_files_rendered_by_threads_with_one_board(write: Write, tmp_path: Path) -> None:
    shared = board(write)
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.wav", noise(5000, seed=i), 48000, subtype="FLOAT")

    def render(folder: str, number: int) -> np.ndarray:
        target = tmp_path / folder / f"{number}.wav"
        render_file(tmp_path / f"{number}.wav", target, shared, Output(subtype="FLOAT"))
        return soundfile.read(target)[0]

    alone = [render("alone", i) for i in range(6)]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda i: render("together", i), range(6)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_instrument_in_eight_threads() -> None:
    flute = DDSP("flute")
    tunes = [
        [mido.Message("note_on", note=60 + i, time=0.0), mido.Message("note_off", note=60 + i, time=0.2)]
        for i in range(16)
    ]
    alone = [flute(tune, 0.3, 48000) for tune in tunes]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda tune: flute(tune, 0.3, 48000), tunes))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_lists_change_and_streams_are_reset_while_others_play(write: Write) -> None:
    """Every result is that of one of the two boards, as a whole."""
    chain = neural_fx.Chain([neural(write)])
    x = noise(20000)
    plain = chain(x, 48000, 256)
    chain.append(pedalboard.Gain(-20))
    softer = chain(x, 48000, 256)
    del chain[1]
    done = threading.Event()

    def edit() -> None:
        while not done.is_set():
            chain.append(pedalboard.Gain(-20))
            chain.reset()
            del chain[1]

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(lambda _: chain(x, 48000, 256), range(24)))
    finally:
        done.set()
        editor.join()
    for result in results:
        assert np.array_equal(result, plain) or np.array_equal(result, softer)


@pytest.mark.parametrize("native", [False, True])
def test_a_member_that_another_board_used_ends_a_stream_with_a_sentence(native: bool, write: Write) -> None:
    shared = pedalboard.Delay(0.01) if native else neural(write)
    one, other = neural_fx.Pedalboard([shared]), neural_fx.Pedalboard([neural_fx.Chain([shared])])
    x = noise(1000)
    one(x, 48000, reset=False)
    other(x, 48000, reset=False)
    with pytest.raises(RuntimeError, match="used by another board or call in the middle of this stream"):
        one(x, 48000, reset=False)
    one.reset()
    np.testing.assert_array_equal(one(x, 48000, reset=False)[:100], one(x, 48000)[:100])


def test_a_member_that_was_called_itself_ends_a_stream_with_a_sentence(write: Write) -> None:
    amp = neural(write)
    stream = neural_fx.Pedalboard([amp])
    stream(noise(1000), 48000, reset=False)
    amp(noise(1000), 48000)
    with pytest.raises(RuntimeError, match="in the middle of this stream"):
        stream(noise(1000), 48000, reset=False)


def test_an_edit_or_reset_deep_inside_begins_the_stream_anew() -> None:
    inner = neural_fx.Chain([])
    outer = neural_fx.Pedalboard([neural_fx.Chain([inner])])
    x = np.ones(1000, np.float32)
    outer(x, 48000, reset=False)
    inner.append(neural_fx.Chain([pedalboard.Gain(20)]))
    np.testing.assert_allclose(outer(x, 48000, reset=False), 10 * x, rtol=1e-6)
    inner.reset()
    np.testing.assert_allclose(outer(x, 48000, reset=False), 10 * x, rtol=1e-6)


# -- places ------------------------------------------------------------------------------------------------------------


def duplicates(shared: Any) -> dict[str, Any]:
    return {
        "chain": neural_fx.Chain([shared, shared]),
        "board": neural_fx.Pedalboard([shared, Smoother(), shared]),
        "mix": neural_fx.Mix([shared, shared]),
        "nested": neural_fx.Pedalboard([shared, neural_fx.Mix([neural_fx.Chain([shared])])]),
        "deeper than the top": neural_fx.Pedalboard([neural_fx.Chain([shared]), neural_fx.Mix([shared])]),
    }


@pytest.mark.parametrize("kind", duplicates(Smoother()))
@pytest.mark.parametrize("make", [Smoother, pedalboard.Delay, neural_fx.Chain, pedalboard.Chain], ids=str)
def test_one_plugin_in_two_places_is_refused(kind: str, make: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError, match=r"same plugin is used more than once.*copy\.deepcopy"):
        duplicates(make())[kind](noise(100), 48000)


def test_native_containers_count() -> None:
    gain = pedalboard.Gain()
    with pytest.raises(RuntimeError, match="more than once"):
        neural_fx.Pedalboard([gain, Smoother(), pedalboard.Chain([pedalboard.Mix([gain])])])(noise(100), 48000)


def test_a_container_inside_itself_is_refused() -> None:
    inner = neural_fx.Chain([])
    outer = neural_fx.Chain([inner])
    inner.append(outer)
    with pytest.raises(RuntimeError, match="more than once"):
        outer(noise(100), 48000)


def test_places_can_be_swapped_and_reversed(write: Write) -> None:
    chain = neural_fx.Chain([Smoother(), neural(write)])
    first, second = chain
    chain.name_slot(first, "smooth")
    chain[0], chain[1] = chain[1], chain[0]
    assert list(chain) == [second, first]
    chain.reverse()
    assert list(chain) == [first, second]
    assert chain.given_name(first) == "smooth"
    assert chain(noise(100), 48000).shape == (100,)


def test_a_new_plugin_never_inherits_a_name() -> None:
    """Objects made after one was freed often get its address."""
    chain = neural_fx.Chain([])
    for _ in range(50):
        chain.append(pedalboard.Gain())
        assert chain.given_name(chain[0]) is None
        chain.name_slot(chain[0], "old")
        del chain[0]


# -- copies ------------------------------------------------------------------------------------------------------------

WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("when", ["before the first call", "after a call", "in a stream"])
def test_copies_sound_the_same_and_have_no_stream(made: Any, way: str, when: str) -> None:
    x = noise(5000, 2, seed=3)
    expected = made(x, 44100) if when == "after a call" else None
    if when == "in a stream":
        made(noise(3000, 2), 44100, reset=False)
    twin = WAYS[way](made)
    if when == "in a stream":
        assert twin.latency_samples == 0
        assert twin.flush().size == 0
        made.reset()
    np.testing.assert_array_equal(twin(x, 44100), made(x, 44100) if expected is None else expected)


def test_a_stream_goes_on_after_it_was_copied(made: Any) -> None:
    x = noise(6000, 2)
    whole = made(x, 44100)
    parts = [made(x[:, :3000], 44100, reset=False)]
    copy.copy(made)
    copy.deepcopy(made)
    pickle.dumps(made)
    parts += [made(x[:, 3000:], 44100, reset=False), made.flush()]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-5 * np.abs(whole).max() + 1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_copies_share_no_list_and_no_parameter(way: str, write: Write) -> None:
    original = board(write)
    twin = WAYS[way](original)
    assert [twin.given_name(plugin) for plugin in twin] == [None, "amp", None, None]
    twin.mix = 0.1
    twin.name_slot(twin[0], "room")
    del twin[1:]
    assert (original.mix, len(original), original.given_name(original[0])) == (0.7, 4, None)
    user = Smoother()
    other = WAYS[way](user)
    other.amount = 0.2
    other.kept.append(2.0)
    assert (user.amount, user.kept) == (0.9, [1.0])
    with pytest.raises(errors.ParameterError, match="did you mean 'amount'"):
        other.amuont = 1


@pytest.mark.parametrize("name", [n for n in native_plugins() if not n.startswith("_")])
def test_every_native_plugin_travels_with_its_values(name: str) -> None:
    plugin = native_plugins()[name]()
    chain = neural_fx.Chain([plugin])
    for way in (WAYS["pickle"], WAYS["deepcopy"]):
        twin = way(chain)[0]
        assert type(twin) is type(plugin)
        assert repr(twin).rsplit(" at ", 1)[0] == repr(plugin).rsplit(" at ", 1)[0]


def test_what_cannot_travel_says_so() -> None:
    response = pedalboard.Convolution(np.ones((1, 10), np.float32), sample_rate=48000)
    with pytest.raises(TypeError, match="made from an array cannot be copied"):
        pickle.dumps(neural_fx.Chain([response]))


@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
def test_impulse_responses_travel(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of ours hold their samples; those of pedalboard find their file from elsewhere."""
    soundfile.write(tmp_path / "cab.wav", noise(300), 48000)
    monkeypatch.chdir(tmp_path)
    responses = [
        neural_fx.Convolution(noise(100, 2), 0.5, 44100.0),
        neural_fx.Convolution("cab.wav", 0.7),
        pedalboard.Convolution("cab.wav", 0.3),
    ]
    chain = neural_fx.Chain(responses)
    monkeypatch.chdir("/")
    twin = WAYS[way](chain)
    np.testing.assert_array_equal(twin(noise(2000, 2), 48000), chain(noise(2000, 2), 48000))
    assert [plugin.impulse_response_filename for plugin in twin][:2] == [None, str(tmp_path / "cab.wav")]


def test_a_process_pool_renders_with_boards_and_instruments(write: Write) -> None:
    original = board(write)
    x = noise(4000, 2)
    expected = original(x, 48000)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(original, x, 48000).result(), expected)
        flute = DDSP("flute")
        tune = [(bytes([0x90, 60, 90]), 0.0)]
        np.testing.assert_array_equal(pool.submit(flute, tune, 0.1, 48000).result(), flute(tune, 0.1, 48000))


ERRORS = [
    errors.NeuralFXError("a"), errors.ModelError("problem", "field", "file"), errors.ParameterError("b"),
    errors.BoardError("c"), errors.AudioError("d"), errors.TrainingError("e"), DeviceError("f"), SpiceError("g"),
    BridgeError("h", "code"), ProtocolError("i", "code"),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_arrive_whole_from_another_process(error: Exception) -> None:
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_subclass_that_forgets_its_base_is_told() -> None:
    class Forgetful(neural_fx.Processor):
        def __init__(self) -> None:
            self.factor = 2

        def process_block(self, block: np.ndarray) -> np.ndarray:
            return self.factor * block

    with pytest.raises(RuntimeError, match=r"Forgetful.__init__ does not call super\(\).__init__\(\)"):
        Forgetful()


def test_parameters_before_the_base_is_ready() -> None:
    class Early(neural_fx.Processor):
        PARAMETERS = (neural_fx.Parameter("amount", 0, 1, 0.5),)
        amount: float

        def __init__(self) -> None:
            self.twice = 2 * self.amount
            super().__init__()

        def process_block(self, block: np.ndarray) -> np.ndarray:
            return block

    with pytest.raises(AttributeError, match=r"does Early call super\(\).__init__\(\) first"):
        Early()


def test_submodules_need_no_import_of_their_own() -> None:
    code = (
        "import neural_fx; assert neural_fx.pedals.TubeScreamer and neural_fx.timbre.TimbreTransfer; "
        "assert dir(neural_fx) == sorted(neural_fx.__all__), dir(neural_fx)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


TYPED = """
import neural_fx
from instruments import DDSP
from neural_fx.pedals import BigMuff, DS1, TubeScreamer
from neural_fx.timbre import TimbreTransfer

screamer = TubeScreamer()
screamer.drive = 0.3
screamer.input_gain_db = 3
violin = TimbreTransfer("violin")
violin.octave = 1
flute = DDSP("flute")
flute.glide = 0.1
board = neural_fx.Pedalboard([screamer])
board.mix = 0.5
amp = neural_fx.load("amp.nam")
amp.gain = 0.2  # a knob of the file

screamer.drvie = 3  # wrong
DS1().dsit = 0.1  # wrong
BigMuff().drive = 0.1  # wrong
violin.octav = 1  # wrong
flute.vibratto = 1  # wrong
board.mxi = 1  # wrong
"""


@pytest.mark.slow
def test_misspelled_knobs_fail_type_checking(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed (pip install 'neural-fx[lint]')")
    path = tmp_path / "user.py"
    path.write_text(TYPED)
    root = Path(neural_fx.__file__).parents[1]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(root / "pyproject.toml"), str(path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=500)
    wrong = {number for number, line in enumerate(TYPED.splitlines(), 1) if "# wrong" in line}
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    assert found == wrong, done.stdout


def annotated(kind: type) -> set[str]:
    return {name for base in kind.__mro__ for name in vars(base).get("__annotations__", {})}


def test_every_parameter_of_ours_is_annotated() -> None:
    """Type checkers see the annotations, the program the table: they name the same parameters."""
    made = [neural_fx.Pedalboard(), neural_fx.timbre.TimbreTransfer(), DDSP("flute")]
    made += [pedal() for pedal in neural_fx.pedals.PEDALS.values()]
    for thing in made:
        missing = [n for n in thing.parameters if n not in annotated(type(thing)) and not hasattr(type(thing), n)]
        assert missing == [], type(thing)
