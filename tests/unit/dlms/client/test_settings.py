import pytest

from dlms.apdu.acse import Mechanism
from dlms.apdu.conformance import Conformance
from dlms.client.settings import DEFAULT_CONFORMANCE, AssociationSettings
from dlms.errors import SecurityError
from dlms.security.keys import Keys
from dlms.security.protection import CipherForm
from tests.unit.dlms.client.meter import CLIENT_TITLE, KEYS, SECRET

PLAIN_KEYS = Keys(KEYS.encryption, KEYS.authentication)


@pytest.mark.parametrize(
    "given",
    [
        {"mechanism": Mechanism.LOW},
        {"mechanism": Mechanism.HIGH},
        {"mechanism": Mechanism.HIGH_GMAC, "system_title": CLIENT_TITLE},
        {"mechanism": Mechanism.HIGH_GMAC, "keys": PLAIN_KEYS},
        {"mechanism": Mechanism.HIGH_SHA256, "secret": SECRET},
        {"mechanism": Mechanism.HIGH_ECDSA, "secret": SECRET},
        {"keys": PLAIN_KEYS, "system_title": CLIENT_TITLE[:7]},
        {"keys": PLAIN_KEYS, "system_title": CLIENT_TITLE, "form": CipherForm.SERVICE_DEDICATED},
        {"keys": KEYS, "system_title": CLIENT_TITLE, "initiate_form": CipherForm.GENERAL_DEDICATED},
        {"form": CipherForm.GENERAL_DEDICATED},
        {"keys": PLAIN_KEYS, "system_title": CLIENT_TITLE, "control": 0x32},
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(SecurityError):
        AssociationSettings(**given)  # type: ignore[arg-type]


def test_settings_show_neither_secret_nor_keys() -> None:
    settings = AssociationSettings(
        mechanism=Mechanism.LOW,
        secret=b"geheim",
        keys=Keys(b"geheim".ljust(16), b"geheim".ljust(16)),
        system_title=CLIENT_TITLE,
    )
    assert "geheim" not in repr(settings)


def test_general_protection_is_proposed_for_the_general_forms_only() -> None:
    plain = AssociationSettings()
    assert plain.proposed_conformance == DEFAULT_CONFORMANCE
    assert not plain.is_ciphered
    general = AssociationSettings(keys=KEYS, system_title=CLIENT_TITLE, form=CipherForm.GENERAL_GLOBAL)
    assert general.proposed_conformance == DEFAULT_CONFORMANCE | Conformance.GENERAL_PROTECTION
    gmac_only = AssociationSettings(
        mechanism=Mechanism.HIGH_GMAC, keys=KEYS, system_title=CLIENT_TITLE, control=0, form=CipherForm.GENERAL_GLOBAL
    )
    assert not gmac_only.is_ciphered
    assert gmac_only.proposed_conformance == DEFAULT_CONFORMANCE
