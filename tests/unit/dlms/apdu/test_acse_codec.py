import pytest

from dlms.apdu.acse import FOREIGN, Aare, Aarq, Acse, ApplicationContext, Mechanism, Rlre, Rlrq
from dlms.apdu.codec import decode_acse, decode_apdu, encode_acse
from dlms.apdu.services import ConfirmedServiceError
from dlms.errors import DecodeError

INITIATE = bytes.fromhex("01000000065F1F0400007E1F04B0")
GRANT = bytes.fromhex("0800065F1F040000501F01F40007")
TITLE = bytes.fromhex("4D4D4D0000BC614E")
CIPHERED = bytes.fromhex(
    "21303001234567801302FF8A7874133D414CED25B42534D28DB0047720606B175BD52211BE6841DB204D39EE6FDB8E356855"
)
CIPHERED_GRANT = bytes.fromhex("281F3001234567891214A0845E475714383F65BC19745CA235906525E4F3E1C893")

# Green Book, encoding examples of the AARQ, AARE, RLRQ and RLRE APDUs, without and with ciphering.
GREEN_BOOK: dict[str, Acse] = {
    "601DA109060760857405080101BE10040E01000000065F1F0400007E1F04B0": Aarq(
        context=ApplicationContext.LOGICAL_NAME, user_information=INITIATE
    ),
    "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738"
    "BE10040E01000000065F1F0400007E1F04B0": Aarq(
        context=1, user_information=INITIATE, mechanism=Mechanism.LOW, authentication=b"12345678"
    ),
    "6036A1090607608574050801018A0207808B0760857405080205AC0A80084B35366956616759"
    "BE10040E01000000065F1F0400007E1F04B0": Aarq(
        context=1, user_information=INITIATE, mechanism=Mechanism.HIGH_GMAC, authentication=b"K56iVagY"
    ),
    "6066A109060760857405080103A60A0408" + TITLE.hex() + "8A0207808B0760857405080205AC0A80084B35366956616759"
    "BE340432" + CIPHERED.hex(): Aarq(
        context=ApplicationContext.LOGICAL_NAME_CIPHERED,
        user_information=CIPHERED,
        mechanism=5,
        authentication=b"K56iVagY",
        calling_title=TITLE,
    ),
    "6129A109060760857405080101A203020100A305A103020100BE10040E0800065F1F040000501F01F40007": Aare(
        context=1, result=0, diagnostic_source=1, diagnostic=0, user_information=GRANT
    ),
    "6129A109060760857405080101A203020101A305A103020102BE10040E0800065F1F040000501F01F40007": Aare(
        context=1, result=1, diagnostic_source=1, diagnostic=2, user_information=GRANT
    ),
    "611FA109060760857405080101A203020101A305A103020101BE0604040E010601": Aare(
        context=1, result=1, diagnostic_source=1, diagnostic=1, user_information=bytes.fromhex("0E010601")
    ),
    "6142A109060760857405080101A203020100A305A10302010E88020780890760857405080205AA0A8008503677524A323146"
    "BE10040E0800065F1F040000501F01F40007": Aare(
        context=1,
        result=0,
        diagnostic_source=1,
        diagnostic=14,
        user_information=GRANT,
        mechanism=5,
        authentication=b"P6wRJ21F",
    ),
    "6148A109060760857405080103A203020100A305A103020100A40A0408"
    + TITLE.hex()
    + "BE230421"
    + CIPHERED_GRANT.hex(): Aare(
        context=3, result=0, diagnostic_source=1, diagnostic=0, user_information=CIPHERED_GRANT, responding_title=TITLE
    ),
    "6239800100BE340432" + CIPHERED.hex(): Rlrq(user_information=CIPHERED),
    "6328800100BE230421" + CIPHERED_GRANT.hex(): Rlre(user_information=CIPHERED_GRANT),
    "6203800100": Rlrq(),
    "6303800100": Rlre(),
    "6200": Rlrq(reason=None),
    "6300": Rlre(reason=None),
}


@pytest.mark.parametrize("encoded", GREEN_BOOK)
def test_green_book_examples_hold_both_ways(encoded: str) -> None:
    assert decode_acse(bytes.fromhex(encoded)) == GREEN_BOOK[encoded]
    assert encode_acse(GREEN_BOOK[encoded]).hex() == encoded.lower()


def test_a_refusal_can_carry_a_confirmed_service_error() -> None:
    aare = decode_acse(bytes.fromhex("611FA109060760857405080101A203020101A305A103020101BE0604040E010601"))
    assert decode_apdu(aare.user_information) == ConfirmedServiceError(service=1, kind=6, code=1)


def test_an_aare_without_user_information_or_diagnostic_is_understood() -> None:
    accepted = Aare(context=1, result=0, diagnostic_source=1, diagnostic=0)
    assert decode_acse(bytes.fromhex("6117A109060760857405080101A203020100A305A103020100")) == accepted
    assert decode_acse(bytes.fromhex("6110A109060760857405080101A203020100")) == accepted


def test_the_provider_diagnoses_too() -> None:
    refused = decode_acse(bytes.fromhex("6117A109060760857405080101A203020101A305A203020102"))
    assert refused == Aare(context=1, result=1, diagnostic_source=2, diagnostic=2)
    assert encode_acse(refused).hex() == "6117a109060760857405080101a203020101a305a203020102"


def test_a_diagnostic_comes_from_the_user_or_the_provider() -> None:
    with pytest.raises(ValueError, match=r".+"):
        encode_acse(Aare(context=1, result=0, diagnostic_source=3, diagnostic=0))


def test_fields_come_in_any_order_with_long_lengths_and_others_between() -> None:
    encoded = bytes.fromhex(
        "60 820043 80020780 BE8110 040E" + INITIATE.hex() + "8B0760857405080201 A2 03 020107 AC0A80083132333435363738"
        "BD0100 8A020780 A1 09060760857405080101"
    )
    assert len(encoded) == 4 + 0x43
    assert decode_acse(encoded) == Aarq(context=1, user_information=INITIATE, mechanism=1, authentication=b"12345678")


def test_an_outer_length_below_what_is_there_is_passed_over() -> None:
    right = bytes.fromhex(
        "6142A109060760857405080101A203020100A305A10302010E88020780890760857405080205AA0A8008503677524A323146"
        "BE10040E0800065F1F040000501F01F40007"
    )
    assert decode_acse(b"\x61\x41" + right[2:]) == decode_acse(right)


def test_user_information_and_titles_may_stand_bare() -> None:
    encoded = bytes.fromhex("6025 A109060760857405080101 A608" + TITLE.hex() + "BE0E" + INITIATE.hex())
    assert decode_acse(encoded) == Aarq(context=1, user_information=INITIATE, calling_title=TITLE)


def test_the_user_of_a_client_is_its_ae_invocation_id() -> None:
    aarq = Aarq(context=1, user_information=INITIATE, calling_invocation=200)
    assert bytes.fromhex("A904020200C8") in encode_acse(aarq)
    assert decode_acse(encode_acse(aarq)) == aarq


def test_a_long_challenge_makes_long_lengths() -> None:
    aarq = Aarq(context=3, user_information=bytes(200), mechanism=5, authentication=bytes(64), calling_title=TITLE)
    assert encode_acse(aarq)[:2] == b"\x60\x82"
    assert decode_acse(encode_acse(aarq)) == aarq


@pytest.mark.parametrize("context", ["", "A109060760857405080901", "A1080606608574050801", "A107060528CA220201"])
def test_contexts_that_are_not_of_dlms_are_foreign(context: str) -> None:
    fields = bytes.fromhex(context)
    aarq = decode_acse(bytes((0x60, len(fields))) + fields)
    assert aarq == Aarq(context=FOREIGN, user_information=b"")


def test_a_mechanism_that_is_not_of_dlms_is_not_taken_for_none() -> None:
    aarq = decode_acse(bytes.fromhex("6014 A109060760857405080101 8B0760857405080905"))
    assert isinstance(aarq, Aarq)
    assert aarq.mechanism == FOREIGN


def test_secrets_are_in_no_repr() -> None:
    aarq = Aarq(context=1, user_information=INITIATE, mechanism=1, authentication=b"open sesame")
    assert "sesame" not in repr(aarq)
    assert "sesame" not in repr(Rlrq(user_information=b"open sesame"))


@pytest.mark.parametrize(
    "encoded",
    [
        "", "60", "6001", "6002A1", "5F00", "6400", "C401C100", "60 02 A1 05", "6080 A109060760857405080101 0000",
        "6009 A10706056085740508 00", "600D A109 040760857405080101 BE00",
        "6116 A109060760857405080101 A203020100 A304A1020100",
        "6117 A109060760857405080101 A203020100 A305A303020100",
        "610B A109060760857405080101", "6110 A109060760857405080101 A203040100", "610F A109060760857405080101 A2020200",
        "6116 A109060760857405080101 A109060760857405080101", "6200 00", "6202 8000", "6207 800100 BE0204 01",
        "6121 A109060760857405080101 BE10040F0800065F1F040000501F01F40007",
    ],
)  # fmt: skip
def test_what_does_not_add_up_is_refused(encoded: str) -> None:
    with pytest.raises(DecodeError):
        decode_acse(bytes.fromhex(encoded))
