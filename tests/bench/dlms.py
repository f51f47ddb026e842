"""Reading a meter by DLMS: processor time against the clients of others, and time on a slow serial line."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.dlms_line import Wire, bytes_alone_s, session_over
from tests.bench.dlms_question import DAY_FIRST, question, rows_expected
from tests.bench.installation import ROOT, bench_process, working_folder
from tests.bench.measure import Compared, Spent, compared, in_turns
from tests.bench.report import Aim, Line, Section
from tests.rig.dlms_meter import DAY_ROWS, ROWS
from tests.rig.foreign import FOREIGN, foreign_python

ROUNDS = 5
OURS: Final = "ours"
OTHERS: Final = {"gurux-dlms": ("gurux", "gurux_client.py"), "dlms-cosem": ("dlms-cosem", "dlms_cosem_client.py")}
TIMES: Final = {OURS: 150, "gurux-dlms": 5, "dlms-cosem": 40}
"""Sessions, or ten times as many decodings, of each process; so many that its interpreter is warm."""
AIMS: Final = {"wrapper": 2.5, "hdlc": 4.0}
"""Fewer processor seconds for a session than the faster of the others."""
RUN_SECONDS_MAX: Final = 120
WIRES: Final = (
    ("128-byte frames, PDU 512", Wire()),
    ("128-byte frames, PDU 509: with LLC four full frames", Wire(pdu_bytes_max=509)),
    ("128-byte frames, window 7, PDU 512", Wire(window=7)),
    ("512-byte frames, PDU 509", Wire(info_bytes=512, pdu_bytes_max=509)),
    ("512-byte frames, window 7, PDU 2045", Wire(info_bytes=512, window=7, pdu_bytes_max=2045)),
)
"""What a line may agree on."""


async def bench_dlms() -> list[Section]:
    """Compare our DLMS client with gurux-dlms 1.0.203 and dlms-cosem 21.3.2, and a serial line with its bytes alone.

    A session is: connect, associate with mechanism 5 (GMAC), authenticated and encrypted throughout, read a profile of
    96 rows by 8 columns by range in blocks of at most 512 bytes, release, disconnect. All three clients read the same
    meter, our server in a process of its own, over TCP on this machine, each by a blocking socket in a process and an
    environment of its own; counted is the processor time of the client's process, user and kernel, connecting included,
    start and imports not. They take turns. Each does what its users get: ours turns capture times into times, the
    others leave them as bytes; dlms-cosem has general-glo-ciphering only, the others use glo-ciphering. A good part of
    what is counted is the kernel's work for the socket, the same for all. Decoding is that of the same 4.9 kB alone.

    The line is computed, not measured: the real client and server talk on virtual time over 9600 baud, 8N1, and the
    meter is silent for 20 ms before each of its answers. The baseline is the time of the very same bytes alone.
    """
    with working_folder() as folder:
        ready = bench_process("dlms_meters", name="dlms-meters", folder=folder).start_ready()
        found = {
            "decode": await _in_turns("--decode", {"hex": ROWS.encode(rows_expected()).hex()}),
            **{link: await _in_turns("--repeat", question(link, ready[link])) for link in AIMS},
        }
    return [_processor_section(found), _wire_section()]


def _command(name: str) -> list[str | Path]:
    if name == OURS:
        return [sys.executable, "-m", "tests.bench.dlms_reader"]
    environment, script = OTHERS[name]
    return [foreign_python(environment), FOREIGN / script]


async def _in_turns(kind: str, asked: dict[str, Any]) -> dict[str, list[Spent]]:
    factor = 10 if kind == "--decode" else 1

    async def one(name: str, _: int) -> Spent:
        answer = await asyncio.to_thread(_run, [*_command(name), kind, str(TIMES[name] * factor)], asked)
        assert answer["rows"] in (DAY_ROWS, [DAY_ROWS]), f"{name} did not read the day from {DAY_FIRST} on"
        return Spent(wall_s=0.0, cpu_s=answer["cpu_s"])

    return await in_turns(ROUNDS, {name: partial(one, name) for name in (OURS, *OTHERS)})


def _run(command: Sequence[str | Path], asked: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False, cwd=ROOT
    )
    if done.returncode:
        raise RuntimeError(f"{command[1]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _processor_section(found: dict[str, dict[str, list[Spent]]]) -> Section:
    lines = [line for link in AIMS for line in _session_lines(f"whole session over {link}", found[link], AIMS[link])]
    return Section(
        title="DLMS: processor time of a client",
        compared="Ours and other people's clients reading the same day from the same meter; ratio: theirs by ours.",
        lines=[*lines, *_session_lines("decoding of one day, 96 x 8", found["decode"], None)],
    )


def _session_lines(what: str, spent: dict[str, list[Spent]], aim: float | None) -> list[Line]:
    seconds = {name: [each.cpu_s for each in series] for name, series in spent.items()}
    ratios: dict[str, Compared] = {name: compared(seconds[name], seconds[OURS]) for name in OTHERS}
    faster = min(OTHERS, key=lambda name: ratios[name].ratio)
    return [
        Line(
            what=what,
            measured=median(seconds[OURS]) * 1e3,
            unit="CPU ms",
            against=name,
            baseline=median(seconds[name]) * 1e3,
            ratio=ratios[name].ratio,
            spread=ratios[name].spread,
            aim=Aim(bound=aim, at_least=True) if aim is not None and name == faster else None,
        )
        for name in OTHERS
    ]


def _wire_section() -> Section:
    lines = []
    for what, wire in WIRES:
        tally = session_over(wire)
        alone_s = bytes_alone_s(wire, tally)
        is_default = wire == Wire()
        lines.append(
            Line(
                what=f"{what}: {tally.bytes_total:,} bytes, {tally.round_trips} round trips",
                measured=tally.seconds,
                unit="s",
                against="the bytes alone",
                baseline=alone_s,
                ratio=tally.seconds / alone_s,
                aim=Aim(bound=1.15, at_least=False) if is_default else None,
            )
        )
    return Section(
        title="DLMS: the same session on a serial line of 9600 baud, 20 ms turn-round",
        compared="Seconds on virtual time against the time that the line needs for these bytes without any waiting.",
        lines=lines,
    )
