import contextlib

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.rig import strategies
from wire.address import Address, Direction, Kind
from wire.errors import MalformedError
from wire.topics import TopicTree

TREE = TopicTree("hillside")


@hypothesis.given(gateway=strategies.names)
def test_every_topic_of_a_gateway_stands_for_its_address(gateway: str) -> None:
    for leaf, kind in (("hello", Kind.HELLO), ("urgent", Kind.BATCH), ("bulk", Kind.BATCH)):
        assert TREE.parse(TREE.up(gateway, leaf)) == Address("hillside", Direction.UP, kind, gateway)
    for kind in (Kind.WELCOME, Kind.ACK, Kind.FACTS, Kind.COMMAND):
        assert TREE.parse(TREE.down(gateway, kind)) == Address("hillside", Direction.DOWN, kind, gateway)


@hypothesis.given(client=strategies.names)
def test_every_topic_of_a_client_stands_for_its_address(client: str) -> None:
    request = Address("hillside", Direction.CLIENT_UP, Kind.REQUEST, client)
    status = Address("hillside", Direction.CLIENT_DOWN, Kind.STATUS, client)
    assert TREE.parse(TREE.client(client, Kind.REQUEST)) == request
    assert TREE.parse(TREE.client(client, Kind.STATUS)) == status


@hypothesis.given(
    topic=st.one_of(st.text(), st.text().map("wp/1/g/{}/up/hello".format), st.text().map("wp/1/".__add__))
)
def test_any_text_is_a_topic_or_a_bad_topic(topic: str) -> None:
    with contextlib.suppress(MalformedError):
        party = TREE.parse(topic).party
        assert topic.split("/")[3] == party


def test_a_root_of_another_depth_works_alike() -> None:
    tree = TopicTree("hillside", root="meters/village/hill")
    assert tree.parse(tree.up("gw-1", "bulk")).kind is Kind.BATCH
    with pytest.raises(MalformedError):
        TREE.parse(tree.up("gw-1", "bulk"))


def test_filters_match_their_topics_and_share_by_group() -> None:
    assert TREE.down_filter("gw-1") == "wp/1/g/gw-1/down/+"
    assert TREE.up_filter("bulk") == "wp/1/g/+/up/bulk"
    assert TREE.up_filter("bulk", share="ingest") == "$share/ingest/wp/1/g/+/up/bulk"
    assert TREE.request_filter() == "wp/1/c/+/request"
    assert TREE.request_filter(share="commands") == "$share/commands/wp/1/c/+/request"


def test_will_names_its_gateway() -> None:
    assert TREE.bye_gateway(TREE.up("gw-1", "bye")) == "gw-1"


@pytest.mark.parametrize(
    "topic", ["g/gw-1/up/bye", "wp/1/g/gw-1/up/hello", "wp/1/g/gw_1/up/bye", "wp/1/g//up/bye", "wp/1/g/up/bye", "x", ""]
)
def test_what_is_no_will_names_no_gateway(topic: str) -> None:
    assert TREE.bye_gateway(topic) is None
