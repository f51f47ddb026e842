"""What the foreign DLMS scripts share: the line to the meter, the cutting of frames, JSON in and out.

Imported by scripts of this folder only, each in an environment without our packages. Every script reads one question as
JSON on standard input and prints one answer as JSON. The keys of a question that tell the line and the association:

    link            "wrapper" or "hdlc"
    host, port      TCP; or `serial`, the path of a tty or pty (HDLC only), and perhaps `baud`
    timeout_s       how long to wait for an answer, 5 unless told
    client_sap      16 unless told
    server_sap      logical device, 1 unless told; for HDLC also `physical` and `address_bytes` (1, 2 or 4)
    authentication  "none", "lls", "hls" (mechanism 2), "gmac"
    secret          hex; the password of LLS and mechanism 2
    security        "none", "authentication", "encryption", "both"
    title, encryption_key, authentication_key, dedicated_key    hex
    invocation_counter  the first to use, 1 unless told
    pdu_bytes_max   what to propose
    info_bytes_max, window    HDLC parameters to propose
    steps           a list of {"do": NAME, ...}; the script says which

The answer of a run: {"results": [{"do", "ok", "value"} or {"do", "ok": false, "error", ...}], "invocation_counter",
"bytes_sent", "bytes_received", "exchanges", "unsolicited": [value]}. A step that the meter refuses is told and passed
over; one that fails because the line does ends the run. `--repeat N` answers {"sessions", "cpu_s", "rows", and the same
tallies of the last session}, `--decode N` {"decodings", "cpu_s", "rows", "first"}. `cpu_s` is for one session or one
decoding, after a first that does not count, without start and imports; any failed step ends `--repeat`.
"""

import hashlib
import json
import os
import select
import socket
import sys
import termios
import time
import tty
from collections.abc import Callable, Sequence
from typing import Any

FLAG = 0x7E
WRAPPER_HEADER_BYTES = 8


class LineError(Exception):
    """Raised when the line broke or nothing came in time."""


class Line:
    """A byte stream to a meter, over TCP or a tty, with a deadline for every read."""

    def __init__(self, question: dict[str, Any]) -> None:
        self._timeout_s = float(question.get("timeout_s", 5))
        self._kept = bytearray()
        self._socket: socket.socket | None = None
        self.bytes_sent = 0
        self.bytes_received = 0
        self.sends = 0
        if "serial" in question:
            self._file = os.open(question["serial"], os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self._file)
            speed = getattr(termios, f"B{question.get('baud', 9600)}")
            attributes = termios.tcgetattr(self._file)
            attributes[4] = attributes[5] = speed
            termios.tcsetattr(self._file, termios.TCSANOW, attributes)
        else:
            address = (question.get("host", "127.0.0.1"), question["port"])
            try:
                self._socket = socket.create_connection(address, timeout=self._timeout_s)
            except OSError as error:
                raise LineError(f"no connection to {address[0]}:{address[1]}: {error}") from error
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._file = self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Write all of the data."""
        self.sends += 1
        self.bytes_sent += len(data)
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise LineError(f"cannot send: {error}") from error

    def read_wrapper(self) -> bytes:
        """Return the next message with its header of eight bytes."""
        deadline = time.monotonic() + self._timeout_s
        self._fill(WRAPPER_HEADER_BYTES, deadline)
        return self._take(WRAPPER_HEADER_BYTES + int.from_bytes(self._kept[6:8], "big"), deadline)

    def read_hdlc(self) -> bytes:
        """Return the next frame with both flags; one flag may stand between two frames."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            start = self._kept.find(FLAG)
            while start < 0 or len(self._kept) <= start + 2:
                self._more(deadline)
                start = self._kept.find(FLAG)
            del self._kept[:start]
            if self._kept[1] == FLAG:
                del self._kept[:1]
                continue
            size = ((self._kept[1] & 0x07) << 8 | self._kept[2]) + 2
            self._fill(size, deadline)
            if self._kept[1] & 0xF0 == 0xA0 and self._kept[size - 1] == FLAG:
                frame = bytes(self._kept[:size])
                del self._kept[: size - 1]
                return frame
            del self._kept[:1]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._file)

    def _take(self, size: int, deadline: float) -> bytes:
        self._fill(size, deadline)
        taken = bytes(self._kept[:size])
        del self._kept[:size]
        return taken

    def _fill(self, size: int, deadline: float) -> None:
        while len(self._kept) < size:
            self._more(deadline)

    def _more(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._file], [], [], left)[0]:
            raise LineError(f"no answer within {self._timeout_s} s; kept {bytes(self._kept).hex() or 'nothing'}")
        try:
            came = os.read(self._file, 65536)
        except OSError as error:
            raise LineError(f"cannot read: {error}") from error
        if not came:
            raise LineError("the other side closed the line")
        self.bytes_received += len(came)
        self._kept += came


class Refused(Exception):  # noqa: N818 - it is what the meter did, not an error of the script
    """Raised when the meter refuses in a way that the library has no exception for."""


def run_steps(
    steps: Sequence[dict[str, Any]],
    actions: dict[str, Callable[[dict[str, Any]], Any]],
    explain: Callable[[Exception], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Do the steps in order; one that the meter refuses is told and passed over, a broken line ends the run."""
    results: list[dict[str, Any]] = []
    for step in steps:
        try:
            results.append({"do": step["do"], "ok": True, "value": actions[step["do"]](step)})
        except Exception as error:  # noqa: BLE001 - a library of others raises whatever it likes, and the test wants to see it
            told = {"error": f"{type(error).__name__}: {error}", **explain(error)}
            results.append({"do": step["do"], "ok": False, **told})
            if isinstance(error, LineError):
                break
    return results


def cpu_seconds(times: int, act: Callable[[], object]) -> float:
    """Return the processor seconds of this process that one `act` takes; the first one, not counted, warms up."""
    act()
    begun = time.process_time()
    for _ in range(times):
        act()
    return (time.process_time() - begun) / times


def hex_of(question: dict[str, Any], key: str) -> bytes | None:
    """Return the bytes of a key that may be left out."""
    return bytes.fromhex(question[key]) if question.get(key) else None


def made_up_image(size: int, seed: str) -> bytes:
    """Return bytes that a test can make as well: SHAKE-256 of the seed."""
    return hashlib.shake_256(seed.encode()).digest(size)


def serve_client(
    converse: Callable[[dict[str, Any]], dict[str, Any]],
    decode: Callable[[bytes], Any],
    plain: Callable[[Any], Any],
) -> None:
    """Print what the command line wants of the question on standard input.

    What the library prints goes to standard error.
    """
    question = json.load(sys.stdin)
    printed, sys.stdout = sys.stdout, sys.stderr
    match sys.argv[1:]:
        case []:
            answer = converse(question)
        case ["--repeat", times]:
            answer = _measured(converse, question, int(times))
        case ["--decode", times]:
            data = bytes.fromhex(question["hex"])
            rows = decode(data)
            seconds = cpu_seconds(int(times), lambda: decode(data))
            answer = {"decodings": int(times), "cpu_s": seconds, "rows": len(rows), "first": plain(rows[0])}
        case other:
            raise SystemExit(f"unknown arguments: {other}")
    json.dump(answer, printed)
    printed.write("\n")


def _measured(
    converse: Callable[[dict[str, Any]], dict[str, Any]], question: dict[str, Any], times: int
) -> dict[str, Any]:
    last: dict[str, Any] = {}

    def session() -> None:
        nonlocal last
        last = converse(question)
        question["invocation_counter"] = last["invocation_counter"]
        for result in last["results"]:
            if not result["ok"]:
                raise Refused(str(result))

    seconds = cpu_seconds(times, session)
    results = last.pop("results")
    values = [result["value"] for result in results]
    rows = [value if isinstance(value, int) else len(value) for value in values if isinstance(value, int | list)]
    return {"sessions": times, "cpu_s": seconds, "rows": rows, **last}
