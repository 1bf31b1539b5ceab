"""Counting what clients spend, as plain arithmetic."""

from connector.simulator.limits import AddressLimits, SlidingCount, Window


def limits(**changes):
    figures = {"weight": 100, "raw": 1_000, "connects": 3, "ignored_429s": 3, "ban_s": 120.0} | changes
    return AddressLimits(**figures)


def test_windows_start_again_at_the_full_minute_not_a_minute_after_the_first_request():
    window = Window(10, 60)
    assert window.spend(10, now_s=119.0)
    assert not window.spend(1, now_s=119.9)
    assert window.spend(10, now_s=120.0)
    assert window.left_s(130.0) == 50.0


def test_refused_requests_cost_weight_too():
    each = limits()
    each.request(100, now_s=60.0)
    each.request(50, now_s=61.0)
    assert each.weight.used == 150


def test_an_overdrawn_minute_is_told_how_long_it_lasts():
    each = limits()
    assert each.request(100, now_s=90.0) is None
    refusal = each.request(1, now_s=90.0)
    assert (refusal.status, refusal.retry_after_s, refusal.reason) == (429, 31, "weight")
    assert each.request(1, now_s=120.0) is None


def test_ignoring_the_warning_earns_a_ban_and_the_next_one_is_twice_as_long():
    each = limits()
    each.request(101, now_s=60.0)
    statuses = [each.request(1, now_s=60.0).status for _ in range(3)]
    assert statuses == [429, 429, 418]
    assert each.banned_until == 180.0
    each.request(101, now_s=240.0)
    for _ in range(3):
        last = each.request(1, now_s=240.0)
    assert last.status == 418
    assert each.banned_until == 240.0 + 240.0


def test_calling_on_while_banned_lengthens_the_ban():
    each = limits()
    each.ban(now_s=60.0)
    before = each.banned_until
    assert each.request(1, now_s=61.0).status == 418
    assert each.banned_until == before + 1.0
    assert each.request(1, now_s=200.0) is None


def test_bans_never_grow_past_three_days():
    each = limits()
    for _ in range(20):
        each.ban(now_s=0.0)
    assert each.banned_until == 3 * 86_400


def test_raw_requests_are_counted_besides_their_weight():
    each = limits(raw=2)
    assert each.request(0, now_s=1.0) is None
    assert each.request(0, now_s=1.0) is None
    assert each.request(0, now_s=1.0).reason == "raw"
    assert each.request(0, now_s=300.0) is None


def test_connection_attempts_have_a_window_of_their_own():
    each = limits()
    assert [each.connect(now_s=10.0) for _ in range(3)] == [None, None, None]
    assert each.connect(now_s=299.0).retry_after_s == 2
    assert each.connect(now_s=300.0) is None


def test_without_enforcement_everything_is_counted_and_nothing_refused():
    each = limits(enforced=False)
    assert all(each.request(100, now_s=60.0) is None for _ in range(20))
    assert all(each.connect(now_s=60.0) is None for _ in range(20))
    assert each.weight.used == 2_000


def test_messages_are_counted_over_the_last_second():
    count = SlidingCount(1.0)
    assert [count.add(at) for at in (0.0, 0.4, 0.8, 1.0, 1.5)] == [1, 2, 3, 3, 3]
