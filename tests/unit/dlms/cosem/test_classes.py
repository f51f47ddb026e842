"""Every attribute and method of every class has the number, the type and the way back that the Blue Book gives it."""

from typing import Any

import pytest

from dlms.axdr.data import BitString, Data, Tag
from dlms.axdr.datetimes import CosemDate, CosemDateTime, CosemTime
from dlms.cosem.association_ln import (
    AccessRights,
    AssociatedPartners,
    AssociationStatus,
    AttributeAccess,
    MethodAccess,
    ObjectListElement,
    User,
    XdlmsContext,
)
from dlms.cosem.attribute import AttributeRef, MethodRef
from dlms.cosem.classes import CLASSES
from dlms.cosem.clock import ClockBase, PresetTime
from dlms.cosem.control import ControlMode, ControlState, EmergencyProfile, LimiterActions, MonitoredValue
from dlms.cosem.image_transfer import ImageBlock, ImageInitiation, ImageToActivate, ImageTransferStatus
from dlms.cosem.profile_generic import SortMethod
from dlms.cosem.profile_rows import CaptureObject
from dlms.cosem.push_setup import CommunicationWindow, PushDestination, PushObject, RepetitionDelay
from dlms.cosem.schedules import (
    Day,
    DayAction,
    ExecutionTime,
    ScheduleType,
    Script,
    ScriptAction,
    ScriptReference,
    ScriptService,
    Season,
    Week,
)
from dlms.cosem.security_setup import KeyId, KeyTransfer
from dlms.cosem.units import ScalerUnit
from dlms.obis import obis

NAME = obis("0.0.10.0.1.255")
N = "0906 00000a0001ff"
MOMENT = CosemDateTime.from_utc_ms(1_714_564_800_000, -330)
M = "090c 07e8050103111e0000feb600"
DATE = CosemDate.of(day=1)
D = "0905 ffffff01ff"
TIME = CosemTime.of(hour=6, minute=0, second=0, hundredths=0)
T = "0904 06000000"
SCRIPT = ScriptReference(NAME, 2)
S = f"0202 {N} 120002"
CAPTURED = CaptureObject(3, NAME, 2)
C = f"0204 120003 {N} 0f02 120000"
SEEN = ObjectListElement(
    3, 0, NAME, AccessRights((AttributeAccess(1, 1), AttributeAccess(2, 3, (1, 2))), (MethodAccess(1, 1),))
)
O = f"0204 120003 1100 {N} 0202 0102 0203 0f01 1601 00 0203 0f02 1603 0102 0f01 0f02 0101 0202 0f01 1601"  # noqa: E741
SEASONS = (Season("S1", MOMENT, "W1"),)
SEASON = f"0101 0203 0902 5331 {M} 0902 5731"
WEEKS = (Week("W1", 1, 1, 1, 1, 1, 2, 3),)
WEEK = "0101 0208 0902 5731 1101 1101 1101 1101 1101 1102 1103"
DAYS = (Day(1, (DayAction(TIME, NAME, 5),)),)
DAY = f"0101 0202 1101 0101 0203 {T} {N} 120005"

ATTRIBUTES: list[tuple[int, int, str, Any, str]] = [
    (1, 2, "value", 5, "0600000005"),
    (3, 2, "value", b"x", "090178"),
    (3, 3, "scaler_unit", ScalerUnit(-2, 33), "0202 0ffe 1621"),
    (4, 2, "value", 7, "0600000007"),
    (4, 3, "scaler_unit", ScalerUnit(0, 27), "0202 0f00 161b"),
    (4, 4, "status", None, "00"),
    (4, 5, "capture_time", MOMENT, M),
    (5, 2, "current_average_value", 1, "0600000001"),
    (5, 3, "last_average_value", 2, "0600000002"),
    (5, 4, "scaler_unit", ScalerUnit(0, 27), "0202 0f00 161b"),
    (5, 5, "status", None, "00"),
    (5, 6, "capture_time", MOMENT, M),
    (5, 7, "start_time_current", MOMENT, M),
    (5, 8, "period", 1800, "0600000708"),
    (5, 9, "number_of_periods", 1, "120001"),
    (7, 2, "buffer", ((1, b""),), "0101 0202 0600000001 0900"),
    (7, 3, "capture_objects", (CAPTURED,), f"0101 {C}"),
    (7, 4, "capture_period", 900, "0600000384"),
    (7, 5, "sort_method", SortMethod.FIFO, "1601"),
    (7, 6, "sort_object", CAPTURED, C),
    (7, 6, "sort_object", None, "00"),
    (7, 7, "entries_in_use", 96, "0600000060"),
    (7, 8, "profile_entries", 2112, "0600000840"),
    (8, 2, "time", MOMENT, M),
    (8, 3, "time_zone", -330, "10feb6"),
    (8, 4, "status", 0, "1100"),
    (8, 5, "daylight_savings_begin", MOMENT, M),
    (8, 6, "daylight_savings_end", MOMENT, M),
    (8, 7, "daylight_savings_deviation", 60, "0f3c"),
    (8, 8, "daylight_savings_enabled", False, "0300"),
    (8, 9, "clock_base", ClockBase.CRYSTAL, "1601"),
    (
        9,
        2,
        "scripts",
        (Script(1, (ScriptAction(ScriptService.EXECUTE_METHOD, 70, NAME, 1, b"x"),)),),
        f"0101 0202 120001 0101 0205 1602 120046 {N} 0f01 090178",
    ),
    (15, 2, "object_list", (SEEN,), f"0101 {O}"),
    (15, 3, "associated_partners_id", AssociatedPartners(48, 1), "0202 0f30 120001"),
    (15, 4, "application_context_name", b"\x60", "090160"),
    (
        15,
        5,
        "xdlms_context_info",
        XdlmsContext(BitString.from_int(0x00101D, 24), 512, 1024, 6, 0, b""),
        "0206 041800101d 120200 120400 1106 0f00 0900",
    ),
    (15, 6, "authentication_mechanism_name", b"\x60", "090160"),
    (15, 7, "secret", b"pw", "09027077"),
    (15, 8, "association_status", AssociationStatus.ASSOCIATED, "1602"),
    (15, 9, "security_setup_reference", NAME, N),
    (15, 10, "user_list", (User(1, "A"),), "0101 0202 1101 0a0141"),
    (15, 11, "current_user", User(1, "A"), "0202 1101 0a0141"),
    (15, 11, "current_user", None, "00"),
    (18, 2, "image_block_size", 200, "06000000c8"),
    (18, 3, "image_transferred_blocks_status", BitString.of(True, False, True), "0403a0"),
    (18, 4, "image_first_not_transferred_block_number", 1, "0600000001"),
    (18, 5, "image_transfer_enabled", True, "0301"),
    (18, 6, "image_transfer_status", ImageTransferStatus.VERIFICATION_SUCCESSFUL, "1603"),
    (
        18,
        7,
        "image_to_activate_info",
        (ImageToActivate(65536, b"V2", b"\x01"),),
        "0101 0203 0600010000 09025632 090101",
    ),
    (20, 2, "calendar_name_active", "A", "090141"),
    (20, 3, "season_profile_active", SEASONS, SEASON),
    (20, 4, "week_profile_table_active", WEEKS, WEEK),
    (20, 5, "day_profile_table_active", DAYS, DAY),
    (20, 6, "calendar_name_passive", "P", "090150"),
    (20, 7, "season_profile_passive", SEASONS, SEASON),
    (20, 8, "week_profile_table_passive", WEEKS, WEEK),
    (20, 9, "day_profile_table_passive", DAYS, DAY),
    (20, 10, "activate_passive_calendar_time", MOMENT, M),
    (22, 2, "executed_script", SCRIPT, S),
    (22, 3, "type", ScheduleType.ONE_WILDCARD_IN_DATE, "1601"),
    (22, 4, "execution_time", (ExecutionTime(TIME, DATE),), f"0101 0202 {T} {D}"),
    (40, 2, "push_object_list", (PushObject(8, NAME, 2),), f"0101 0204 120008 {N} 0f02 120000"),
    (40, 3, "send_destination_and_method", PushDestination(0, b"h:1", 0), "0203 1600 0903683a31 1600"),
    (40, 4, "communication_window", (CommunicationWindow(MOMENT, MOMENT),), f"0101 0202 {M} {M}"),
    (40, 5, "randomisation_start_interval", 30, "12001e"),
    (40, 6, "number_of_retries", 3, "1103"),
    (40, 7, "repetition_delay", RepetitionDelay(60), "12003c"),
    (40, 7, "repetition_delay", RepetitionDelay(60, 200, 600), "0203 12003c 1200c8 120258"),
    (64, 2, "security_policy", 3, "1603"),
    (64, 3, "security_suite", 0, "1600"),
    (64, 4, "client_system_title", b"CLIENT01", "0908434c49454e543031"),
    (64, 5, "server_system_title", b"SERVER01", "09085345525645523031"),
    (70, 2, "output_state", True, "0301"),
    (70, 3, "control_state", ControlState.READY_FOR_RECONNECTION, "1602"),
    (70, 4, "control_mode", ControlMode.MODE_4, "1604"),
    (71, 2, "monitored_value", MonitoredValue(3, NAME, 2), f"0203 120003 {N} 0f02"),
    (71, 3, "threshold_active", 5000, "0600001388"),
    (71, 4, "threshold_normal", 5000, "0600001388"),
    (71, 5, "threshold_emergency", 5000, "0600001388"),
    (71, 6, "min_over_threshold_duration", 60, "060000003c"),
    (71, 7, "min_under_threshold_duration", 60, "060000003c"),
    (71, 8, "emergency_profile", EmergencyProfile(1, MOMENT, 3600), f"0203 120001 {M} 0600000e10"),
    (71, 9, "emergency_profile_group_id_list", (1, 2), "0102 120001 120002"),
    (71, 10, "emergency_profile_active", False, "0300"),
    (71, 11, "actions", LimiterActions(SCRIPT, SCRIPT), f"0202 {S} {S}"),
]
METHODS: list[tuple[int, int, str, Any, str]] = [
    (3, 1, "reset", 0, "0f00"),
    (4, 1, "reset", 0, "0f00"),
    (5, 1, "reset", 0, "0f00"),
    (5, 2, "next_period", 0, "0f00"),
    (7, 1, "reset", 0, "0f00"),
    (7, 2, "capture", 0, "0f00"),
    (8, 1, "adjust_to_quarter", 0, "0f00"),
    (8, 2, "adjust_to_measuring_period", 0, "0f00"),
    (8, 3, "adjust_to_minute", 0, "0f00"),
    (8, 4, "adjust_to_preset_time", 0, "0f00"),
    (8, 5, "preset_adjusting_time", PresetTime(MOMENT, MOMENT, MOMENT), f"0203 {M} {M} {M}"),
    (8, 6, "shift_time", -5, "10fffb"),
    (9, 1, "execute", 2, "120002"),
    (15, 1, "reply_to_hls_authentication", b"\x01\x02", "09020102"),
    (15, 2, "change_hls_secret", b"\x01\x02", "09020102"),
    (15, 3, "add_object", SEEN, O),
    (15, 4, "remove_object", SEEN, O),
    (18, 1, "image_transfer_initiate", ImageInitiation(b"V2", 65536), "0202 09025632 0600010000"),
    (18, 2, "image_block_transfer", ImageBlock(1, b"\xaa"), "0202 0600000001 0901aa"),
    (18, 3, "image_verify", 0, "0f00"),
    (18, 4, "image_activate", 0, "0f00"),
    (20, 1, "activate_passive_calendar", 0, "0f00"),
    (40, 1, "push", 0, "0f00"),
    (64, 1, "security_activate", 3, "1603"),
    (64, 2, "key_transfer", (KeyTransfer(KeyId.AUTHENTICATION, b"\xaa"),), "0101 0202 1602 0901aa"),
    (70, 1, "remote_disconnect", 0, "0f00"),
    (70, 2, "remote_reconnect", 0, "0f00"),
]


@pytest.mark.parametrize(
    ("class_id", "index", "name", "value", "encoded"), ATTRIBUTES, ids=[f"{row[0]}-{row[2]}" for row in ATTRIBUTES]
)
def test_an_attribute_goes_both_ways(class_id: int, index: int, name: str, value: Any, encoded: str) -> None:
    reference = getattr(CLASSES[class_id](NAME), name)
    assert isinstance(reference, AttributeRef)
    assert (reference.class_id, reference.name, reference.index) == (class_id, NAME, index)
    assert reference.encode(value).hex() == encoded.replace(" ", "")
    assert reference.decode(bytes.fromhex(encoded)) == value


@pytest.mark.parametrize(
    ("class_id", "index", "name", "value", "encoded"), METHODS, ids=[f"{row[0]}-{row[2]}" for row in METHODS]
)
def test_parameters_of_a_method_go_both_ways(class_id: int, index: int, name: str, value: Any, encoded: str) -> None:
    reference = getattr(CLASSES[class_id](NAME), name)
    assert isinstance(reference, MethodRef)
    assert (reference.class_id, reference.name, reference.index) == (class_id, NAME, index)
    assert reference.encode(value).hex() == encoded.replace(" ", "")
    assert reference.decode_parameters(bytes.fromhex(encoded)) == value


def test_every_attribute_and_method_of_every_class_is_tried_here() -> None:
    tried = {(class_id, index) for class_id, index, *_ in ATTRIBUTES} | {(class_id, 1) for class_id in CLASSES}
    assert tried == {(cosem.CLASS_ID, item.index) for cosem in CLASSES.values() for _, item in cosem.attributes()}
    tried = {(class_id, index) for class_id, index, *_ in METHODS}
    assert tried == {(cosem.CLASS_ID, item.index) for cosem in CLASSES.values() for _, item in cosem.methods()}


def test_the_answer_to_hls_is_the_only_result_that_counts() -> None:
    reply = CLASSES[15]("0.0.40.0.0.255").method_at(1)
    assert reply is not None
    assert reply.decode(bytes.fromhex("0902aabb")) == b"\xaa\xbb"
    assert reply.encode_result(b"\xaa") == bytes.fromhex("0901aa")


def test_access_to_a_method_may_be_a_boolean_as_in_version_0() -> None:
    old = O[:-4] + "0301"
    seen = CLASSES[15](NAME).attribute_at(2)
    assert seen is not None
    assert seen.decode(bytes.fromhex(f"0101 {old}")) == (SEEN,)


def test_a_wrapped_key_is_not_shown() -> None:
    assert "aabb" not in repr(KeyTransfer(KeyId.MASTER, bytes.fromhex("aabb")))
    assert "wrapped" not in repr(KeyTransfer(KeyId.MASTER, b"secret"))


def test_a_parameter_of_a_script_can_be_of_any_type() -> None:
    scripts = CLASSES[9](NAME).attribute_at(2)
    assert scripts is not None
    action = ScriptAction(ScriptService.WRITE_ATTRIBUTE, 71, NAME, 4, Data(Tag.LONG_UNSIGNED, 5))
    encoded = scripts.encode((Script(1, (action,)),))
    assert encoded.endswith(bytes.fromhex("120005"))
    assert scripts.decode(encoded)[0].actions[0].parameter == 5
