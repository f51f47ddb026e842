"""The compose file against its specification, and against everything it names.

No container is started here: that each program starts with these arguments and configurations is shown outside of one,
in tests/integration/compose.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml

from cloud.config import load_config as load_cloud
from device_sim.app import load_village
from device_sim.core.village import Village
from gateway.config import Config as GatewayConfig
from gateway.config import load_config as load_gateway
from wire.runtime.console import ENTRIES, LazyGroup

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final = ROOT / "compose"
FILE: Final[dict[str, Any]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = FILE["services"]
BROKER: Final = (COMPOSE / "mosquitto/mosquitto.conf").read_text(encoding="utf-8")
SETUP: Final = (COMPOSE / "setup.sh").read_text(encoding="utf-8")
OURS: Final = ("wattpost/cloud", "wattpost/simulation")
GROUP: Final = "10001"
PEOPLE_NEED: Final = {"broker": 8883, "grafana": 3000}


def is_ours(service: dict[str, Any]) -> bool:
    return service["image"].rpartition(":")[0] in OURS


def is_once(service: dict[str, Any]) -> bool:
    return service.get("entrypoint") == ["wattpost-setup"]


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Return the sources by target, and whether each may be written."""
    found = {}
    for mount in service.get("volumes", []):
        if isinstance(mount, str):
            source, target = mount.split(":")
            found[target] = (source, True)
        else:
            found[mount["target"]] = (mount["source"], not mount.get("read_only", False))
    return found


def on_the_host(service: dict[str, Any], path: str) -> Path:
    """Return what a path inside a container is in the tree."""
    for target, (source, _) in mounts(service).items():
        if path.startswith(f"{target}/") and source.startswith("."):
            return (COMPOSE / source / path.removeprefix(f"{target}/")).resolve()
    pytest.fail(f"{path} is in no folder that is mounted")


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield all command lines of our program, those of health checks too."""
    for name, service in SERVICES.items():
        if is_ours(service) and not is_once(service):
            yield name, service["command"]
        check = service.get("healthcheck", {}).get("test", [])
        if check[:2] == ["CMD", "wattpost"]:
            yield name, check[2:]


def test_the_file_is_what_the_specification_allows() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    words = ("--builtin-schema", "vendor.compose-spec", str(COMPOSE / "compose.yaml"))
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


# ---- what each service may do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service
    # The user of our images stands in the Dockerfile.
    assert is_ours(service) or not service["user"].startswith("0")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_limits_and_short_logs(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]

    assert set(limits) == {"cpus", "memory", "pids"}
    assert set(SERVICES[name]["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("name", SERVICES)
def test_what_serves_is_restarted_and_watched_and_what_runs_once_is_not(name: str) -> None:
    service = SERVICES[name]

    assert service["restart"] == ("no" if is_once(service) else "unless-stopped")
    assert ("healthcheck" in service) is not is_once(service)


def test_only_what_people_need_is_published_and_only_here_unless_told_otherwise() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert {name: [int(port.rpartition(":")[2]) for port in ports] for name, ports in published.items()} == {
        name: [port] for name, port in PEOPLE_NEED.items()
    }
    for (port,) in published.values():
        assert defaulted(port).startswith("127.0.0.1:")


def test_databases_and_handlers_cannot_be_reached_and_reach_nobody_outside() -> None:
    outside = {name for name, network in FILE["networks"].items() if not (network or {}).get("internal")}
    exposed = {name for name, service in SERVICES.items() if outside & set(service.get("networks", []))}

    assert exposed == {"broker", "grafana", "gateway-1", "gateway-2"}
    assert SERVICES["secrets"]["network_mode"] == "none"


def test_images_are_pinned_and_ours_are_never_fetched() -> None:
    for service in SERVICES.values():
        _, _, tag = service["image"].rpartition(":")
        assert re.match(r"\d+\.\d+", tag), service["image"]
        if is_ours(service):
            assert service["pull_policy"] == ("build" if "build" in service else "never")


# ---- secrets ---------------------------------------------------------------------------------------------------------


def test_no_secret_stands_in_the_environment() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET|KEY", name):
                assert name.endswith("_FILE"), name
                assert value.startswith(("/secrets/", "/run/secrets/")), value


def test_each_service_sees_its_own_secrets_only_and_cannot_change_them() -> None:
    writers = {"secrets", "simulation-setup"}
    for name, service in SERVICES.items():
        secret = [may for source, may in mounts(service).values() if source.endswith("-secrets") or source == "vault"]
        if name not in writers:
            assert len(secret) <= 1, name
            assert not any(secret), name
        # Accounts of others' images read by our group.
        assert bool(secret) <= (is_ours(service) or service["group_add"] == [GROUP]), name


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if not is_ours(service)])
def test_every_secret_that_a_server_is_told_of_is_given_to_it_by_the_setup(name: str) -> None:
    service = SERVICES[name]
    told = json.dumps(service)
    for folder in {"broker": ["compose/mosquitto"], "grafana": ["dashboards/provisioning"]}.get(name, []):
        told += "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*") if path.is_file())
    ((target, source),) = [
        (target, source) for target, (source, _) in mounts(service).items() if source.endswith("-secrets")
    ]
    named = set(re.findall(rf"{target}/([\w.-]+)", told))

    assert named
    assert {(source.removesuffix("-secrets"), file) for file in named} <= set(given_files())


def given_files() -> Iterator[tuple[str, str]]:
    """Yield what `setup.sh` hands out, as service and file; loops unrolled."""
    text = re.sub(r"\\\n\s*", " ", SETUP)
    for names, body in re.findall(r"for (?:name|purpose) in ([^;]+); do\n(.*?)\n    done", text, re.DOTALL):
        for value in names.split():
            yield from _gives(re.sub(r"\$(?:name|purpose)\b", value, body))
    yield from _gives(text)


def _gives(text: str) -> Iterator[tuple[str, str]]:
    yield from re.findall(r'give "\$vault/[\w.-]+" "\$1/([a-z]+)/([\w./-]+)"', text)


def test_the_broker_is_given_what_its_configuration_names() -> None:
    paths = re.findall(r"^\w+ (/.+)$", BROKER, re.MULTILINE)

    assert {path for path in paths if not path.startswith("/secrets/broker/")} == {
        "/mosquitto/config/acl",
        "/mosquitto/data/",
    }
    assert on_the_host(SERVICES["broker"], "/mosquitto/config/acl").is_file()
    assert "/mosquitto/data" in mounts(SERVICES["broker"])


def test_the_brokers_health_check_is_of_words_that_its_client_takes() -> None:
    (_, program, *words) = SERVICES["broker"]["healthcheck"]["test"]
    options = dict(zip(words[::2], words[1::2], strict=True))

    assert program == "mosquitto_sub"
    assert all(option.startswith("-") and "=" not in option for option in options)
    assert options["--port"] in re.findall(r"^listener (\d+)$", BROKER, re.MULTILINE)
    assert f"topic read {options['--topic'].removeprefix('$')}" in (COMPOSE / "mosquitto/acl").read_text(
        encoding="utf-8"
    )


# ---- what is named exists --------------------------------------------------------------------------------------------


def test_every_folder_and_volume_that_is_mounted_exists() -> None:
    used = set()
    for service in SERVICES.values():
        for source, _ in mounts(service).values():
            if source.startswith("."):
                assert (COMPOSE / source).is_dir(), source
            else:
                used.add(source)

    assert used == set(FILE["volumes"])


def test_every_network_and_service_that_is_named_exists() -> None:
    used = {network for service in SERVICES.values() for network in service.get("networks", [])}

    assert used == set(FILE["networks"])
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            on = SERVICES[name]
            assert wanted["condition"] == ("service_completed_successfully" if is_once(on) else "service_healthy")
            # One that has a profile is not there for one that has none.
            assert set(on.get("profiles", [])) <= set(service.get("profiles", []))


def test_every_variable_has_a_default_and_is_documented() -> None:
    text = (COMPOSE / "compose.yaml").read_text(encoding="utf-8")
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    variables = set(re.findall(r"(?<!\$)\$\{(\w+)", text))

    assert variables
    assert variables == set(re.findall(r"(?<!\$)\$\{(\w+):-[^}]+\}", text))
    assert {name for name in variables if f"`{name}`" not in operations} == set()


@pytest.mark.parametrize(("service", "words"), [pytest.param(*line, id=" ".join(line[1])) for line in commands()])
def test_every_command_of_ours_parses(service: str, words: list[str]) -> None:
    leaf = parsed(words)

    assert leaf.command.callback is not None
    for word in words:
        if word.startswith("/"):
            assert on_the_host(SERVICES[service], word).is_file()


def parsed(words: list[str]) -> click.Context:
    """Let click parse a command line, without running it."""
    command: click.Command = LazyGroup(entries=ENTRIES)
    context = command.make_context("wattpost", list(words))
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
    return context


def test_every_command_of_the_setup_exists() -> None:
    lines = re.findall(r"^[^#\n]*?\bwattpost ((?:[a-z-]+ ?)+)", SETUP, re.MULTILINE)

    assert len(lines) > 10
    for line in lines:
        done = subprocess.run(
            [Path(sys.executable).with_name("wattpost"), *line.split()[:2], "--help"], capture_output=True, check=False
        )
        assert done.returncode == 0, line


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if is_once(service)])
def test_the_setup_has_the_task_that_it_is_asked_for(name: str) -> None:
    task, *rest = SERVICES[name]["command"]

    assert f"\n    {task}:{len(rest)})" in SETUP


# ---- configurations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["headend", "commands", "worker"])
def test_a_handlers_configuration_holds_and_leads_to_services_that_exist(name: str) -> None:
    config = load_cloud(COMPOSE / f"config/{name}.toml")

    assert config.broker.run == "none"
    assert config.broker.host in SERVICES
    assert "@database:5432/" in config.database
    assert config.influx is None or config.influx.url == "http://influxdb:8086"


def test_all_rooms_are_there_once_and_only_the_head_end_is_many() -> None:
    rooms = [
        room for name in ("headend", "commands", "worker") for room in load_cloud(COMPOSE / f"config/{name}.toml").rooms
    ]

    assert sorted(rooms) == ["commands", "headend", "meterdata", "monitoring", "prepaid"]
    assert {name for name, service in SERVICES.items() if service.get("scale", 1) > 1} == {"headend"}
    # Several processes must not have one name in the picture.
    assert load_cloud(COMPOSE / "config/headend.toml").monitoring.handler == ""


def gateways() -> dict[str, GatewayConfig]:
    return {path.stem: load_gateway(path) for path in sorted((COMPOSE / "simulation").glob("gw-*.toml"))}


def village() -> Village:
    return load_village(COMPOSE / "simulation/village.toml")


def test_the_simulated_gateways_read_exactly_the_simulated_meters() -> None:
    described = village()
    ports = {line.id: int(line.address.rpartition(":")[2]) for line in described.lines}
    standing = {
        (meter.id, ports[meter.line], meter.unit, meter.coil if meter.board else None) for meter in described.meters
    } | {(meter.id, ports[meter.line], meter.unit, None) for meter in described.dlms_meters}

    read = set()
    for config in gateways().values():
        for line in config.lines:
            assert getattr(line.connection, "host", "") == "meters"
            for meter in line.meters:
                unit = meter.unit if meter.dlms is None else meter.dlms.address or meter.dlms.logical
                output = meter.relay.output if meter.relay is not None else None
                read.add((meter.id, getattr(line.connection, "port", 0), unit, output))

    assert read == standing


def test_the_simulated_meters_are_reached_from_other_containers() -> None:
    assert {line.address.partition(":")[0] for line in village().lines} == {"0.0.0.0"}


def test_what_is_assigned_placed_and_sold_to_is_what_the_gateways_read() -> None:
    simulation = COMPOSE / "simulation"
    assigned = {line.split()[0]: line.split()[1:] for line in (simulation / "meters.txt").read_text().splitlines()}
    placed = [line.split(",")[0] for line in (simulation / "places.csv").read_text().splitlines()[1:]]
    sold = [line.split(",")[1] for line in (simulation / "accounts.csv").read_text().splitlines()[1:]]

    assert {
        name: [meter.id for line in config.lines for meter in line.meters] for name, config in gateways().items()
    } == (assigned)
    assert placed == list(assigned)
    assert set(sold) <= {meter for meters in assigned.values() for meter in meters}


def test_each_simulated_gateway_has_a_service_and_a_disk_of_its_own() -> None:
    running = {
        Path(service["command"][2]).stem: mounts(service)["/data"][0]
        for service in SERVICES.values()
        if service.get("command", [""])[0] == "gateway"
    }

    assert set(running) == set(gateways())
    assert len(set(running.values())) == len(running)
    assert {Path(config.store.path).parent.as_posix() for config in gateways().values()} == {"/data"}


# ---- Grafana ---------------------------------------------------------------------------------------------------------


def test_what_grafana_is_provisioned_with_lies_where_it_is_mounted() -> None:
    service = SERVICES["grafana"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "dashboards/provisioning").rglob("*.yaml"))
    folders = re.findall(r"^ +path: (/\S+)$", text, re.MULTILINE)
    variables = set(re.findall(r"\$\{(\w+)\}", text))

    assert {mounts(service)[folder][0] for folder in folders} == {"../dashboards/grafana"}
    assert mounts(service)["/etc/grafana/provisioning"] == ("../dashboards/provisioning", False)
    assert {name for name in variables if name.isupper()} <= set(service["environment"])


def defaulted(text: str) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
