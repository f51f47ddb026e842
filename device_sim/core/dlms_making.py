"""DLMS meters made from their descriptions, with a history behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from device_sim.core.dlms_meter import POWER_MAX_W, DlmsMeter
from device_sim.core.dlms_secrets import secrets_of
from device_sim.core.is15959.meter import Is15959Meter
from device_sim.core.is15959.settings import MeterSettings, Nameplate, Secrets
from dlms.apdu.acse import Mechanism
from dlms.cosem.push_setup import TransportService
from dlms.security.counters import PeerCounterPolicy

if TYPE_CHECKING:
    from device_sim.core.faults import Faults
    from device_sim.core.household import Neighbourhood
    from device_sim.core.is15959.witness import Witness
    from device_sim.core.village import DlmsMeterSpec, DlmsSecretsSpec, PushSpec, Village

_MECHANISMS: Final = {"high": Mechanism.HIGH, "high-gmac": Mechanism.HIGH_GMAC}
_TRANSPORTS: Final = {"tcp": TransportService.TCP, "udp": TransportService.UDP}
_SERIAL_DIGITS: Final = 10


def make_dlms_meter(
    spec: DlmsMeterSpec,
    village: Village,
    *,
    neighbourhood: Neighbourhood,
    faults: Faults,
    started_ms: int,
    first_counter: int,
    witness: Witness,
) -> DlmsMeter:
    """Return a meter that begins to live at site time `started_ms`."""
    settings = _settings(spec, village, key=neighbourhood.key(spec.id), first_counter=first_counter)
    supply = neighbourhood.supply(spec, phase_count=1, power_max_w=POWER_MAX_W, started_ms=started_ms)
    device = Is15959Meter(settings, supply=supply, faults=faults, now_ms=started_ms, witness=witness)
    return DlmsMeter(id=spec.id, unit=spec.unit, device=device)


def secrets_from(meter_id: str, given: DlmsSecretsSpec) -> Secrets:
    """Return a meter's secrets: those given, the others made of its name."""
    texts = {
        "reader_password": given.reader_password,
        "settings_secret": given.settings_secret,
        "firmware_secret": given.firmware_secret,
        "push_secret": given.push_secret,
    }
    keys = {
        "encryption": given.encryption,
        "firmware_encryption": given.firmware_encryption,
        "push_encryption": given.push_encryption,
        "authentication": given.authentication,
    }
    changes = {name: text.encode() for name, text in texts.items() if text}
    changes |= {name: bytes.fromhex(key) for name, key in keys.items() if key}
    return replace(secrets_of(meter_id), **changes)


def _settings(spec: DlmsMeterSpec, village: Village, *, key: int, first_counter: int) -> MeterSettings:
    serial = f"{(key >> 24) % 10**_SERIAL_DIGITS:0{_SERIAL_DIGITS}}"
    settings = MeterSettings(
        nameplate=Nameplate(serial=serial, device_number=int(serial), firmware=spec.firmware),
        secrets=secrets_from(spec.id, spec.secrets),
        mechanism=_MECHANISMS[spec.authentication],
        peer_counters=PeerCounterPolicy(spec.peer_counters),
        first_counter=first_counter,
        pdu_bytes_max=spec.pdu_bytes_max,
        utc_offset_min=village.utc_offset_min,
        states_deviation=spec.states_deviation,
        clock_offset_ms=spec.clock_offset_s * 1000,
        drift_ppm=spec.drift_ppm,
        capture_period_s=spec.capture_period_s,
        load_limit_w=spec.load_limit_w,
        push_ciphered=spec.push_ciphered,
    )
    return settings if village.push is None else _with_push(settings, village.push)


def _with_push(settings: MeterSettings, push: PushSpec) -> MeterSettings:
    return replace(
        settings,
        push_destination=push.address.encode(),
        push_transport=_TRANSPORTS[push.transport],
        push_client_title=bytes.fromhex(push.client_title),
    )
