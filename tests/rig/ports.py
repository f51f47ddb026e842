"""Free ports on the loopback.

Decides which port a server of a test listens on. Ports come from below the kernel's range for outgoing connections:
a port inside it can be taken by somebody's client while its server is down, and a client that keeps dialling a dead
loopback server there may one day connect to itself.
"""

import random
import socket

LOOPBACK = "127.0.0.1"
PORT_MIN = 20_000
PORT_MAX = 31_999

_handed_out: set[int] = set()
# Its own source, so that the seed of the test run neither repeats nor shifts.
_rng = random.SystemRandom()


def free_port() -> int:
    """Return a loopback port that nothing listens on and that this run has not handed out before."""
    for _ in range(PORT_MAX - PORT_MIN):
        port = _rng.randint(PORT_MIN, PORT_MAX)
        if port not in _handed_out and _is_free(port):
            _handed_out.add(port)
            return port
    message = f"no free port between {PORT_MIN} and {PORT_MAX}"
    raise OSError(message)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it, so that connections of an earlier run in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
