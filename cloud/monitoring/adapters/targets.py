"""The file of service-level targets: the operator's, or the one that comes with the program."""

from functools import cache
from importlib import resources
from pathlib import Path

from cloud.config import Monitoring
from cloud.monitoring.core.targets import Target, targets_in
from wire.runtime.errors import ConfigError

DAY_S = 86_400


@cache
def load_targets(file: str) -> tuple[Target, ...]:
    """Return the targets in a file, or ours where it is empty; read once by a process.

    Raises:
        ConfigError: It cannot be read or does not hold.
    """
    if not file:
        return targets_in((resources.files("cloud.monitoring") / "targets.toml").read_bytes())
    try:
        return targets_in(Path(file).read_bytes())
    except OSError as error:
        raise ConfigError(file, error.strerror or str(error), "name a readable TOML file as targets_file") from error
    except ValueError as error:
        raise ConfigError(file, str(error), "compare with cloud/monitoring/targets.toml") from error


def latest_judgement_s(settings: Monitoring) -> int:
    """Return how long after its beginning the last word on a day is said; today and yesterday are always looked at."""
    deadlines_ms = [target.deadline_ms for target in load_targets(settings.targets_file)]
    return max(2 * DAY_S, DAY_S + max(deadlines_ms, default=0) // 1_000)
