"""Make the page of the GPU measurement, `docs/gpu.md`, from its JSON lines.

python -m demos.gpu.page docs/gpu.jsonl > docs/gpu.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]
NOT_YET = "*Not measured yet.*"

INTRODUCTION = """# The worker on a GPU

A worker on a CUDA GPU runs the streams of all tracks that use a network as one batch.
This page says how fast that is. It is made by a command; don't edit it by hand.

## How to measure

On a machine with internet, in a clone of the repository:

```
python -m demos.gpu.gather --models ../shared/models --audio ../shared/audio/di
```

This collects the Python packages that the GPU machine lacks, models, a few seconds of audio and the compiled engine
in `demos/gpu/gathered`. Copy the clone with that folder to the machine with the GPU. There, without a network:

```
OUT=build/gpu bash demos/gpu/run.sh
```

The run takes at most seven minutes and writes `results.jsonl`, `gpu.md` (this page) and `log.txt`. Keep the results:

```
cp build/gpu/results.jsonl docs/gpu.jsonl && python -m demos.gpu.page docs/gpu.jsonl > docs/gpu.md
```

`bash demos/gpu/run.sh --short` tries every part on the CPU in about a minute.
`NEURAL_FX_TEST_DEVICE=cuda pytest tests/neural_fx/test_batched.py tests/bridge/test_devices.py` runs the tests of the
batched engine on the GPU.
"""


def records(path: Path) -> list[Record]:
    """Read a JSON lines file. Ignores a last line that was cut off."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def page(found: list[Record]) -> str:
    """Return the page in Markdown."""
    remarks = [record["text"] for record in of(found, "remark")]
    parts = [INTRODUCTION, "## Machine", machine(found), *remarks, "## Goals", goals(found)]
    for title, section in SECTIONS.items():
        parts += [f"## {title}", section(found)]
    parts += ["## Parts that failed or were cut short", problems(found)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def of(found: list[Record], part: str, **values: Any) -> list[Record]:
    """Return the measurements of a part that have these values."""
    return [
        record
        for record in found
        if record["part"] == part and "status" not in record and all(record.get(k) == v for k, v in values.items())
    ]


def table(columns: dict[str, str], rows: Iterable[Record]) -> str:
    """Return a table, or a note if it has no rows.

    Args:
        columns: headings by the key of a record.
        rows: records. Those that were skipped or failed are shown by `problems`.
    """
    lines = [
        "| " + " | ".join(_cell(row.get(key)) for key in columns) + " |"
        for row in rows
        if "skipped" not in row and "error" not in row
    ]
    if not lines:
        return NOT_YET
    return "\n".join(["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns), *lines])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (
            f"{value:.1e}" if value and abs(value) < 1e-3 else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
        )
    return str(value).replace("|", "\\|")


# -- sections ------------------------------------------------------------------------------------------------------


def machine(found: list[Record]) -> str:
    """Return the section about the machine."""
    about = of(found, "machine")
    if not about:
        return NOT_YET
    m = about[0]
    where = f"{m['gpu']} ({m['gpu_gib']} GiB)" if m.get("gpu") else "no GPU: torch's CPU backend"
    form = (
        "\n\nThis is the **short form**: it shows that the parts work. Its figures are not a benchmark."
        if m["short"]
        else ""
    )
    return (
        f"{where}; {m['cpu']}, {m['cores']} cores, compiled engine: {m['compiled'] or 'not built'}; "
        f"Python {m['python']}, torch {m['torch']}; revision {m['revision']}, {m['date']}.{form}"
    )


def goals(found: list[Record]) -> str:
    """Return a table of goals and measurements. It is empty for the short form, which measures too little."""
    if any(record["short"] for record in of(found, "machine")):
        found = []
    offline = [
        r["times_real_time"] for r in of(found, "offline", name="A1 standard") if "piece" in r and "error" not in r
    ]
    arrays = of(found, "fused", name="A1 standard", what="from and to arrays")
    offline += [r["times_real_time"] for r in arrays if "times_real_time" in r]
    live = [r["p99_ms"] for r in of(found, "live", name="A1 standard", streams=256, way="one batch") if "p99_ms" in r]
    largest = [max(r["esr_live"], r["esr_offline"]) for r in of(found, "equality") if "esr_live" in r]
    first = [r[name] for r in of(found, "offline", what="first sample") for name in _opened(r)[1:]]
    rows = [
        ("A1 standard offline, times real time in total", ">= 5,000", max(offline, default=None), _reaches(5000)),
        ("256 live streams of A1 standard, p99 of a block", "< 2.7 ms", min(live, default=None), _below(2.7)),
        ("largest ESR of a network to the CPU engine", "<= 1e-6", max(largest, default=None), _below(1e-6)),
        ("first block in a warm process", "<= 3 s", max(first, default=None), _below(3.0)),
    ]
    lines = ["| goal | wanted | measured | reached |", "|---|---|---|---|"]
    for name, wanted, value, test in rows:
        reached = "" if value is None else _cell(test(value))
        lines.append(f"| {name} | {wanted} | {'not measured yet' if value is None else _cell(value)} | {reached} |")
    return "\n".join(lines)


def _reaches(least: float) -> Callable[[float], bool]:
    return lambda value: value >= least


def _below(most: float) -> Callable[[float], bool]:
    return lambda value: value <= most


def equality(found: list[Record]) -> str:
    """Return the ESR of every network to the CPU engine, and how the tests went."""
    columns = {
        "name": "network",
        "kind": "kind",
        "esr_live": "ESR to the CPU engine, live blocks",
        "esr_offline": "one long call",
        "esr_reference": "ESR to torch on the CPU, live blocks",
    }
    networks = [record for record in of(found, "equality") if "name" in record]
    parts = [table(columns, networks)]
    for record in of(found, "equality", what="tests"):
        if "passed" in record:
            parts.append(f"Tests: {record['passed']} passed, {record['failed']} failed, {record['skipped']} skipped.")
            parts += [f"- {failure}" for failure in record["failures"]]
    return "\n\n".join(parts)


def offline(found: list[Record]) -> str:
    """Return the section about files: speed by streams and pieces, then one batch and the limits of the device."""
    speed = {
        "name": "network",
        "streams": "streams",
        "piece": "samples of a piece",
        "pieces_at_once": "pieces at once",
        "times_real_time": "times real time in total",
        "gpu_gib": "GPU memory, GiB",
    }
    rows = [record for record in of(found, "offline") if "what" not in record]
    batch = {
        "name": "network",
        "precision": "precision",
        "times_real_time": "times real time",
        "tflops": "TFLOP/s",
        "product_share": "of the matrix product",
        "gb_per_s": "GB/s",
        "copy_share": "of the copy",
        "esr_to_fp32": "ESR to fp32",
    }
    return "\n\n".join(
        [
            "Rendering from and to arrays in CPU memory, including the transfers:",
            table(speed, rows),
            "One batch with its data on the GPU. TFLOP/s counts two operations per weight and sample. GB/s counts the "
            "least that today's kernels read and write:",
            table(batch, [_with_shares(found, r) for r in of(found, "offline", what="one batch on the device")]),
            "The limits of the device, measured in the same run:",
            table(
                {"what": "what", "precision": "precision", "tflops": "TFLOP/s", "gb_per_s": "GB/s"},
                of(found, "ceilings"),
            ),
            "Seconds to the first block, from the start of a process and for each network:",
            first_sample(found),
        ]
    )


def fused(found: list[Record]) -> str:
    """Return the section about the fused kernels: speed with and without them, on the device and from arrays."""
    kernels = [{**r, "kernels": "fused" if r["tile"] else "torch"} for r in of(found, "fused", what="on the device")]
    arrays = [
        {**r, "kernels": "fused" if r["fused"] else "torch"} for r in of(found, "fused", what="from and to arrays")
    ]
    return "\n\n".join(
        [
            "WaveNets with few channels run in one Triton kernel per layer when a signal is long. "
            "`python -m demos.gpu.fused` measures that. With the data on the GPU:",
            table(
                {
                    "name": "network",
                    "kernels": "kernels",
                    "times_real_time": "times real time",
                    "esr": "ESR to torch's kernels",
                    "first_s": "first call, with the compiler, s",
                },
                sorted(kernels, key=lambda r: (r["name"], r["kernels"])),
            ),
            "From and to arrays, with transfers that run beside the kernels:",
            table(
                {
                    "name": "network",
                    "kernels": "kernels",
                    "streams": "streams",
                    "segment": "samples of a piece",
                    "at_once": "pieces at once",
                    "times_real_time": "times real time in total",
                },
                arrays,
            ),
        ]
    )


def _with_shares(found: list[Record], record: Record) -> Record:
    """Return a record with its shares of the measured limits."""
    product = of(found, "ceilings", what="matrix product", precision=record["precision"])
    copy = of(found, "ceilings", what="copy")
    shares: Record = {}
    if product and "tflops" in record:
        shares["product_share"] = f"{100 * record['tflops'] / product[0]['tflops']:.1f} %"
    if copy and "gb_per_s" in record:
        shares["copy_share"] = f"{100 * record['gb_per_s'] / copy[0]['gb_per_s']:.0f} %"
    return {**record, **shares}


def first_sample(found: list[Record]) -> str:
    """Return the seconds to the first block."""
    rows = of(found, "offline", what="first sample")
    names = _opened(rows[0]) if rows else []
    columns = {"from_process_start_s": "from the start of a process"}
    return table({**columns, **{name: f"{name[:-2]}, opened and played" for name in names}}, rows)


def _opened(record: Record) -> list[str]:
    """Return the keys of the seconds per network, in the order of opening. The first also opens the device."""
    return [key for key in record if key.endswith("_s") and key != "from_process_start_s"]


def live(found: list[Record]) -> str:
    """Return the section about live streams, in one batch and with a thread each."""
    times = {"p50_ms": "p50, ms", "p99_ms": "p99, ms", "p999_ms": "p99.9, ms", "max_ms": "longest, ms", "late": "late"}
    batch = {"name": "network", "streams": "streams", "graphs": "CUDA graphs", **times, "blocks": "blocks"}
    batch["step_p50_ms"] = "median without waiting, ms"
    batch["growing_max_ms"] = "longest while the pool grows, ms"
    threads = {
        "name": "network",
        "streams": "streams",
        **times,
        "blocks": "blocks",
        "blocks_per_batch": "blocks per batch",
    }
    rows = sorted(of(found, "live", way="one batch"), key=lambda r: (r["name"], r["streams"], not r["graphs"]))
    return "\n\n".join(
        [
            "Blocks have 256 samples at 48 kHz, so one is due every 5.33 ms. Times are from the due time of a block to "
            "its samples. Streams leave and join during the measurement.",
            "All streams in one batch:",
            table(batch, rows),
            "A thread per stream, through the scheduler, as a worker runs them:",
            table(threads, of(found, "live", way="a thread per stream")),
        ]
    )


def one_core(found: list[Record]) -> str:
    """Return the section about the compiled engine on one core of the same machine."""
    columns = {
        "name": "network",
        "engine": "engine",
        "times_real_time": "times real time, one call",
        "live_times_real_time": "times real time, blocks of 256",
        "p50_ms": "p50 of a block, ms",
        "p99_ms": "p99, ms",
    }
    return table(columns, of(found, "one_core"))


def voices(found: list[Record]) -> str:
    """Return the section about instruments."""
    columns = {
        "what": "what",
        "voices": "voices",
        "p50_ms": "p50 of a frame, ms",
        "p99_ms": "p99, ms",
        "real_time": "p99 within half a frame",
        "voices_in_real_time": "voices in real time",
    }
    return "A frame of the timbre decoder lasts 4 ms.\n\n" + table(columns, of(found, "voices"))


def kernels(found: list[Record]) -> str:
    """Return the slowest kernels of each step."""
    parts = []
    for record in of(found, "kernels"):
        if "kernels" not in record:
            continue
        title = f"{record['name']}, {record['what']}: {record['streams']} streams of {record['samples']} samples"
        parts.append(f"**{title}**, {record['total_us']:,.0f} us in {record['launches']} launches:")
        rows = [{**kernel, "share": f"{100 * kernel['share']:.1f} %"} for kernel in record["kernels"]]
        parts.append(table({"kernel": "kernel", "calls": "calls", "us": "us", "share": "share"}, rows))
    return "\n\n".join(parts) or NOT_YET


def problems(found: list[Record]) -> str:
    """Return the list of measurements that failed, were stopped or were left out."""
    lines = []
    for record in found:
        if record.get("status", "ok") != "ok":
            lines.append(f"- {record['part']}: {record['status']}: `{_last_line(record['error'])}`")
            continue
        reason = record.get("error", record.get("skipped"))
        if isinstance(reason, str):  # the tests' record has a number of skipped tests
            about = ", ".join(f"{k} {v}" for k, v in record.items() if k not in ("part", "skipped", "error", "status"))
            lines.append(f"- {record['part']}: {about}: {_last_line(reason)}")
    return "\n".join(lines) or ("None." if found else NOT_YET)


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""


SECTIONS: dict[str, Callable[[list[Record]], str]] = {
    "The same numbers as the CPU engine": equality,
    "Files": offline,
    "Fused kernels": fused,
    "Live streams": live,
    "One core of the same machine": one_core,
    "Voices": voices,
    "Where the time goes": kernels,
}


if __name__ == "__main__":
    sys.stdout.write(page(records(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/gpu.jsonl"))))
