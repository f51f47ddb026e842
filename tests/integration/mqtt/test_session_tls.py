"""The session over TLS with certificates on both sides, and everything that can be wrong with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.broker.mosquitto import BrokerTls
from tests.rig.blocking import blocking_calls_fail
from tests.rig.brokers import Certificates, make_certificates, mosquitto
from tests.rig.sessions import connected_session, watched_session
from wire.runtime.errors import PublishRefusedError
from wire.runtime.mqtt import Cause, Lost, TlsFiles


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path, client_name="gw-0001")


@pytest.fixture
def broker_tls(certificates: Certificates) -> BrokerTls:
    return BrokerTls(
        cafile=certificates.cafile, certfile=certificates.server_certfile, keyfile=certificates.server_keyfile
    )


@pytest.fixture(autouse=True)
def no_blocking_calls_in_tests(certificates: Certificates) -> Iterator[None]:
    with blocking_calls_fail():
        yield


def client_files(certificates: Certificates) -> TlsFiles:
    return TlsFiles(
        cafile=str(certificates.cafile),
        certfile=str(certificates.client_certfile),
        keyfile=str(certificates.client_keyfile),
    )


async def test_messages_of_any_size_pass_under_the_certificates_name(
    tmp_path: Path, certificates: Certificates, broker_tls: BrokerTls
) -> None:
    async with mosquitto(tmp_path / "broker", tls=broker_tls, acl=("pattern readwrite g/%u/#",)) as broker:
        assert broker.running.tls_port is not None
        async with connected_session(
            broker.running.tls_port, subscriptions=("g/gw-0001/#",), tls=client_files(certificates)
        ) as owner:
            payloads = [bytes([number]) * size for number, size in enumerate((0, 1, 1_000, 20_000, 900_000))]
            for payload in payloads:
                await owner.session.publish("g/gw-0001/up", payload)
            assert [message.payload for message in await owner.receive(len(payloads))] == payloads
            with pytest.raises(PublishRefusedError):
                await owner.session.publish("g/gw-0002/up", b"")


async def test_back_pressure_holds_over_tls(tmp_path: Path, certificates: Certificates, broker_tls: BrokerTls) -> None:
    async with mosquitto(tmp_path / "broker", tls=broker_tls) as broker:
        assert broker.running.tls_port is not None
        async with (
            connected_session(broker.running.port, "sender") as sender,
            connected_session(
                broker.running.tls_port,
                subscriptions=("t",),
                intake_messages_max=10,
                tls=client_files(certificates),
            ) as taker,
        ):
            payloads = [f"message {number}".encode() for number in range(500)]
            for payload in payloads:
                await sender.session.publish("t", payload)
            assert taker.session.intake_messages_count <= 10
            assert [message.payload for message in await taker.receive(500)] == payloads


async def test_certificates_that_do_not_fit_are_named(
    tmp_path: Path, certificates: Certificates, broker_tls: BrokerTls
) -> None:
    good = client_files(certificates)
    (tmp_path / "other").mkdir()
    strangers = make_certificates(tmp_path / "other")
    cases = {
        "no certificate of ours": (TlsFiles(cafile=good.cafile), {Cause.TLS, Cause.CLOSED}),
        "a stranger's broker": (
            TlsFiles(cafile=str(strangers.cafile), certfile=good.certfile, keyfile=good.keyfile),
            {Cause.TLS},
        ),
        "a stranger's certificate": (
            TlsFiles(
                cafile=good.cafile,
                certfile=str(strangers.client_certfile),
                keyfile=str(strangers.client_keyfile),
            ),
            {Cause.TLS, Cause.CLOSED},
        ),
        "a file that is not there": (TlsFiles(cafile=str(tmp_path / "absent.crt")), {Cause.FILES}),
        "a key that is none": (
            TlsFiles(cafile=good.cafile, certfile=good.certfile, keyfile=good.cafile),
            {Cause.FILES},
        ),
    }
    async with mosquitto(tmp_path / "broker", tls=broker_tls) as broker:
        assert broker.running.tls_port is not None
        for name, (files, causes) in cases.items():
            async with watched_session(broker.running.tls_port, tls=files) as owner:
                lost = await owner.next(Lost)
                assert lost.cause in causes, name
                assert lost.remedy, name


async def test_tls_against_a_plain_port_and_the_other_way_round_are_named(
    tmp_path: Path, certificates: Certificates, broker_tls: BrokerTls
) -> None:
    async with mosquitto(tmp_path / "broker", tls=broker_tls) as broker:
        assert broker.running.tls_port is not None
        async with (
            watched_session(broker.running.port, tls=client_files(certificates), connect_timeout_s=2) as tls_to_plain,
            watched_session(broker.running.tls_port, connect_timeout_s=2) as plain_to_tls,
        ):
            assert (await tls_to_plain.next(Lost)).cause in {Cause.TLS, Cause.UNREACHABLE}
            lost = await plain_to_tls.next(Lost)
            assert lost.cause is Cause.CLOSED
            assert "TLS" in lost.remedy
