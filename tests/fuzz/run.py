"""Run the command line on random and damaged input, and list every run that ends in something but a clear answer.

    python -m tests.fuzz.run --runs 2000 --seed 1

A run is wrong if it prints a traceback, ends with a status that is not documented, gives an error without a sentence,
leaves a temporary file behind, crashes, or takes too long. Each run can be repeated by its own seed (`--runs 1
--seed N`).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.inputs import Maker

ROOT = Path(__file__).parents[2]
SECONDS = 120
"""A run that takes longer counts as wrong."""


@dataclass(frozen=True)
class Outcome:
    """What one run of the command line did.

    Attributes:
        arguments: what followed ``neural-fx``.
        status: the exit status.
        output: both streams.
        problem: what is wrong with it; empty if nothing.
    """

    arguments: tuple[str, ...]
    status: int
    output: str
    problem: str


def render(make: Maker) -> list[str]:
    """Return arguments of a `render`."""
    chance = make.chance
    inputs = [str(make.audio()) for _ in range(chance.choice((1, 1, 2)))]
    if chance.random() < 0.1:
        inputs.append(chance.choice((make.word(), str(make.folder), str(make.folder / "*"))))
    source = chance.choice(("model", "model", "pedal", "board", "board", "timbre"))
    value = {"model": lambda: str(make.model()), "board": lambda: str(make.board())}.get(source)
    names = {"pedal": ("tube-screamer", "klon-gain-stage", make.word()), "timbre": ("flute", make.word())}
    chosen = value() if value else chance.choice(names[source])
    arguments = ["render", *inputs, f"--{source}", chosen, "-o", _output(make, len(inputs) > 1)]
    knob = chance.choice(("input_gain_db", "output_gain_db", "drive", "1.size", "mix", "gain", "octave", make.word()))
    options = (
        ["--set", f"{knob}={make.number()}"], ["--mix", make.number()], ["--tail", make.number()],
        ["--level", chance.choice(("normalized", "calibrated", "raw", make.word()))],
        ["--sample-rate", chance.choice(("44100", "1000", make.number()))], ["--oversample", chance.choice("1238")],
        ["--subtype", chance.choice(("FLOAT", "PCM_16", "VORBIS", make.word()))], ["--json"], ["--overwrite"],
    )  # fmt: skip
    return _with_some(chance, arguments, options)


def play(make: Maker) -> list[str]:
    """Return arguments of a `play`."""
    chance = make.chance
    arguments = ["play", str(make.song()), "-o", _output(make)]
    if chance.random() < 0.9:
        arguments += ["--instrument", "flute"]
    options = (
        ["--channel", f"{make.number()}=violin"],
        ["--set", f"{chance.choice(('octave', '1.vibrato', 'voices', make.word()))}={make.number()}"],
        ["--sample-rate", chance.choice(("8000", "44100", make.number()))], ["--json"],
    )  # fmt: skip
    return _with_some(chance, arguments, options)


def analyze(make: Maker) -> list[str]:
    """Return arguments of an `analyze`."""
    chance = make.chance
    options = (["--json"], ["--method", chance.choice(("live", "offline", make.word()))])
    return _with_some(chance, ["analyze", str(make.audio(1.0))], options)


def train(make: Maker) -> list[str]:
    """Return arguments of a `train` of a fraction of a second."""
    chance = make.chance
    files = [str(path) for path in make.pair()]
    if chance.random() < 0.1:
        files = files[: chance.randrange(2)] or [make.word()]
    out = str(make.path(chance.choice(("nam",) * 8 + ("safetensors", "wav"))))
    arguments = ["train", *files, "-o", out, "--minutes", "0.01", "--epochs", "0.01", "--threads", "1"]
    arguments += ["--arch", chance.choice(("a1-nano",) * 8 + ("lstm", make.word()))]
    if chance.random() < 0.9:
        arguments.append("--no-report")
    options = (
        ["--latency", chance.choice(("0", "-20", "30", make.number()))], ["--knob", f"gain={make.number()}"],
        ["--mask", chance.choice(("0.3/0.5", make.word()))], ["--resume"],
        ["--sample-rate", chance.choice(("44100", make.number()))], ["--name", make.word()],
    )  # fmt: skip
    return _with_some(chance, arguments, options)


COMMANDS: dict[str, Callable[[Maker], list[str]]] = {"render": render, "play": play, "analyze": analyze, "train": train}


def _with_some(chance: random.Random, arguments: list[str], options: tuple[list[str], ...]) -> list[str]:
    for option in options:
        if chance.random() < 0.15:
            arguments += option
    return arguments


def _output(make: Maker, several: bool = False) -> str:
    """Return where to write: mostly a good place, sometimes one that is not."""
    good = str(make.folder / "out") if several else str(make.path(make.chance.choice(("wav", "flac", "mp3", "ogg"))))
    strange = (str(make.folder / "new" / "x.wav"), str(make.folder) + "/", "/proc/x.wav", make.word(), str(make.folder))
    return good if make.chance.random() < 0.85 else make.chance.choice(strange)


def attempt(command: str, seed: int, shared: Path | None) -> Outcome:
    """Run a command once, in this process, on input made from a seed."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        folder = Path(place) / "input"
        folder.mkdir()
        arguments = COMMANDS[command](Maker(folder, shared, random.Random(f"{command} {seed}")))
        status, output = _call(arguments)
        left = [path.name for path in Path(place).rglob("*") if ".part" in path.name]
    return Outcome(tuple(arguments), status, output, _problem(status, output, left))


def _call(arguments: list[str]) -> tuple[int, str]:
    """Return the status and everything printed; -1 stands for an exception that got away, -2 for no time left."""
    from bridge.cli import main

    def out_of_time(*_: object) -> None:
        raise TimeoutError

    printed = io.StringIO()
    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(SECONDS)
    argv, sys.argv = sys.argv, ["neural-fx", *arguments]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            main()
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except TimeoutError:
        status = -2
    except BaseException:
        printed.write(traceback.format_exc())
        status = -1
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        sys.argv = argv
    return status, printed.getvalue()


def _problem(status: int, output: str, left: list[str]) -> str:
    if status == -2:
        return f"took over {SECONDS} s"
    if status == -1 or "Traceback" in output:
        return "an exception got away"
    if status not in (0, 1, 2):
        return f"exit status {status}"
    if status == 2 and "rror" not in output:
        return "failed without a sentence"
    for line in output.splitlines():
        if line.startswith("neural-fx: error:") and line.rstrip().endswith(":"):
            return "an error without a reason"
    return f"left behind: {', '.join(left)}" if left else ""


# -- many runs, in a process that may crash ----------------------------------------------------------------------------


def run_all(runs: list[tuple[str, int]], shared: Path | None) -> Iterator[tuple[str, int, Outcome]]:
    """Run commands in a process of their own, and in a new one whenever it crashes.

    Args:
        runs: commands and seeds.
        shared: the folder of reference data, if there is one.

    Yields:
        (command, seed, outcome) of each run; the status of a crash is that of the process.
    """
    left = list(runs)
    while left:
        command = [sys.executable, "-m", "tests.fuzz.run", "--worker", str(shared or "")]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("".join(f"{name} {seed}\n" for name, seed in left))
        process.stdin.close()
        for line in process.stdout:
            name, seed = left.pop(0)
            found = json.loads(line)
            yield name, seed, Outcome(**{**found, "arguments": tuple(found["arguments"])})
        said = process.stderr.read()
        if process.wait() != 0 and left:
            name, seed = left.pop(0)
            yield name, seed, Outcome((), process.returncode, said[-2000:], "the process crashed")


def _work(shared: Path | None) -> int:
    """Read commands and seeds from standard input, and write an outcome as JSON for each."""
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what native code prints does not mix with the outcomes
    for line in sys.stdin.read().splitlines():
        name, seed = line.split()
        results.write(json.dumps(asdict(attempt(name, int(seed), shared))) + "\n")
        results.flush()
    return 0


def main() -> int:
    """Run as many as asked for, print the wrong ones, and return 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="in all, in turn over the commands")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; the next have the next numbers")
    parser.add_argument("--command", choices=sorted(COMMANDS), action="append", help="only this one; may be repeated")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("NEURAL_FX_SHARED", "../shared")))
    parser.add_argument("--verbose", action="store_true", help="print every run")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        return _work(Path(options.worker) if options.worker else None)
    shared = options.shared.resolve() if (options.shared / "models").is_dir() else None
    commands = options.command or sorted(COMMANDS)
    runs = [(commands[i % len(commands)], options.seed + i // len(commands)) for i in range(options.runs)]
    statuses: Counter[tuple[str, int]] = Counter()
    wrong = 0
    for command, seed, outcome in run_all(runs, shared):
        statuses[command, outcome.status] += 1
        wrong += bool(outcome.problem)
        if outcome.problem or options.verbose:
            print(f"--- --command {command} --seed {seed}: {outcome.problem or 'fine'}, status {outcome.status}")
            print(f"neural-fx {shlex.join(outcome.arguments)}\n{outcome.output[-3000:]}", flush=True)
    for (command, status), count in sorted(statuses.items()):
        print(f"{command}: {count} ended with status {status}")
    print(f"{options.runs} runs, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
