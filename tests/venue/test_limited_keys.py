"""A venue says "too many requests" once, when the account's events need a key by REST: it is obeyed, and then all goes on."""

import pytest

from connector.domain.credentials import Credentials
from connector.simulator import AccountSettings, Live, SimulatorSettings
from connector.testing.simulation import World


@pytest.mark.parametrize("name", ["usdm", "coinm"])
def test_what_our_own_budget_holds_back_does_not_prolong_the_venues_refusal(name):
    listed = {"usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}[name]
    account = AccountSettings("main", "key0001", "secret of an account")
    settings = SimulatorSettings(
        dialect=f"binance_{name}", symbols=(listed,), source=Live(resting_orders=40), accounts=(account,)
    )
    world = World(3, {"venue": settings})
    far, runtime = world.far["venue"], world.runtime
    credentials = Credentials("key0001", secret="secret of an account")
    with world.connect(world.venue("venue", f"binance-{name}", credentials=credentials)) as connector:
        venue = connector.venue("venue")
        runtime.advance(10.0)
        was_up = not venue.balances()[1].stale
        far.faults.rest_error(429, count=1, retry_after_s=20, path="listenKey")
        far.faults.stream_terminated("main")  # a new connection needs a new key
        runtime.advance(60.0)
        refused = venue.snapshot().counters.get("session.keys_refused", 0)
        is_up = not venue.balances()[1].stale

    assert was_up
    assert refused
    assert is_up
    assert sum(each.status == 429 for each in far.ledger.requests()) == 1
