from device_sim.village.story import BEATS, Act, Seen, Story, unseen

ALL = frozenset(Seen)
NOTHING: frozenset[Seen] = frozenset()


def test_a_beat_is_due_at_its_share_of_the_time_and_only_once() -> None:
    story = Story(100)
    assert story.due(9.9, NOTHING) == []
    assert story.due(10, NOTHING) == [Act.DISCONNECT]
    assert story.due(10.2, NOTHING) == []


def test_a_payment_waits_until_the_house_is_dark() -> None:
    story = Story(100)
    story.due(10, NOTHING)
    assert story.due(30, NOTHING) == []
    assert story.due(31, frozenset({Seen.SPENDER_DARK})) == [Act.PAY_SPENDER]


def test_no_beat_waits_beyond_its_latest_time() -> None:
    story = Story(100)
    done = [act for tenth in range(1400) for act in story.due(tenth / 10, NOTHING)]
    assert sorted(done) == sorted(Act)


def test_every_act_happens_once_in_order_when_all_is_seen_in_time() -> None:
    story = Story(120)
    done = [act for second in range(121) for act in story.due(second, ALL)]
    assert done == [beat.act for beat in sorted(BEATS, key=lambda beat: beat.share)]


def test_the_network_is_back_only_after_the_payment_that_waits() -> None:
    story = Story(60)
    done = [act for second in range(61) for act in story.due(second, ALL)]
    order = [Act.CUT_NETWORK, Act.PAY_ISLANDER, Act.RESTORE_NETWORK]
    assert [act for act in done if act in order] == order


def test_what_was_not_seen_is_named() -> None:
    assert unseen(ALL - {Seen.METER_LOST}) == [Seen.METER_LOST]
    assert unseen(ALL) == []
