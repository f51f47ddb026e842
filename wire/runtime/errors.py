"""Errors of the environment and of the operator, alike in every process.

They say what happened and whether trying later makes sense. When and how often to try is the owner's decision, and
what a peer did wrong in a message is not here.
"""

from typing import Final

EXIT_CONFIG: Final = 78
"""Exit code of a process whose operator must change something first (EX_CONFIG of sysexits.h)."""


class UnavailableError(Exception):
    """Raised when a link, broker, store or device does not answer; trying later makes sense."""


class BusyError(UnavailableError):
    """Raised when a bounded window of ours is full; trying after something in it has settled makes sense."""


class PublishRefusedError(Exception):
    """Raised when a message was refused, by the broker or by a local limit; the same message would be refused again.

    Args:
        topic: Where the message was to go.
        code: MQTT 5 reason code, 128 or more; 149 (packet too large) also for the local limit.
        problem: What that code means, in words.
    """

    def __init__(self, *, topic: str, code: int, problem: str) -> None:
        super().__init__(f"publish to {topic!r} refused with code {code}: {problem}")
        self.topic = topic
        self.code = code
        self.problem = problem


class ConfigError(Exception):
    """Raised when the operator must change something before this process can work; printed as one line, exit code 78.

    Args:
        path: The file, option or setting at fault.
        problem: What is wrong with it.
        remedy: What to do about it.
    """

    exit_code: Final = EXIT_CONFIG

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem} - {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy
