"""A key the venue refuses (F62): one alarm, tries that slow down to one a day, and market data that never notices."""

import json

from connector import Connector, ConnectorSettings, VenueSettings
from connector.assembly import Parts
from connector.domain.credentials import Credentials
from connector.domain.wire import HttpResponse
from connector.drivers.registry import find_driver
from connector.testing.deterministic import DeterministicRuntime
from connector.testing.memory_http import MemoryHttp
from connector.testing.memory_links import MemoryLinks
from connector.venue.private import dead_key_wait_s

DAY_S = 86_400.0
REFUSED = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}


class Far:
    """Public questions are answered; every signed one and every login is refused while `revoked`."""

    def __init__(self, runtime):
        self.runtime, self.revoked, self.logins, self.signed = runtime, True, [], 0
        self.links = MemoryLinks(runtime.clock, call_later=runtime.call_later, on_message=self.on_message)
        self.links.on_connect = self.links.server.accept

    def on_message(self, link, text):
        message = json.loads(text)
        if "userDataStream" in message.get("method", ""):
            self.logins.append(self.runtime.monotonic_s())
        good = {"id": message["id"], "status": 200, "result": {"subscriptionId": 0}, "rateLimits": []}
        bad = {"id": message["id"], "status": 401, "error": REFUSED, "rateLimits": []}
        self.links.server.send(json.dumps(bad if self.revoked else good).encode(), link=link)

    def answer(self, request):
        if "signature" in request.query or b"signature" in request.body:
            self.signed += 1
            status, body = 401, REFUSED
            if not self.revoked:
                status, body = 200, {"balances": [], "uid": 1} if request.path.endswith("account") else []
        elif request.path.endswith("time"):
            status, body = 200, {"serverTime": self.runtime.time_ns() // 1_000_000}
        else:
            symbol = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
            symbol |= {"baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": []}
            body = {"timezone": "UTC", "serverTime": self.runtime.time_ns() // 1_000_000, "rateLimits": []}
            status, body = 200, body | {"exchangeFilters": [], "symbols": [symbol | {"filters": [], "permissions": []}]}
        now_ns = self.runtime.time_ns()
        return HttpResponse(status, {}, json.dumps(body).encode(), now_ns, now_ns)


def started(runtime):
    far = Far(runtime)
    parts = Parts(
        links=lambda settings: far.links,
        open_http=lambda memory: lambda context: MemoryHttp(far.answer, lambda call: runtime.call_later(0.01, call)),
        driver=find_driver,
        random=runtime.random,
    )
    venue = VenueSettings(
        "binance",
        rest_url="https://far.test",
        stream_url="wss://far.test",
        session_url="wss://far.test",
        credentials=Credentials("key", secret="dead-key-canary"),
        clock_sync_s=3600.0,
        idle_timeout_s=1200.0,
        ping_every_s=None,
    )
    settings = ConnectorSettings((venue,))
    return far, Connector(settings, clock=runtime.clock, parts=parts, runtime=runtime)


def test_a_refused_key_is_tried_ever_more_rarely_with_one_alarm_and_market_data_goes_on():
    runtime = DeterministicRuntime(1, max_steps=50_000_000)
    far, connector = started(runtime)
    with connector:
        runtime.advance(5 * 3600.0)
        waits = [later - earlier for earlier, later in zip(far.logins, far.logins[1:], strict=False)]
        snapshot = connector.venue("binance").snapshot()

    assert len(waits) == 3
    assert all(wait >= least for wait, least in zip(waits, (1800.0, 3600.0, 7200.0), strict=True))
    assert snapshot.alarms["account key refused"] >= 1
    assert snapshot.instruments == 1


def test_a_key_revoked_for_eleven_days_is_tried_at_most_twenty_times_and_at_least_once_a_day():
    tries, passed_s = 1, 0.0
    while (passed_s := passed_s + dead_key_wait_s(tries)) < 11 * DAY_S:
        tries += 1

    assert tries <= 20
    assert dead_key_wait_s(1) == 1800.0
    assert max(map(dead_key_wait_s, range(1, 10_000))) == DAY_S


def test_a_key_that_works_again_is_used_again_by_itself():
    runtime = DeterministicRuntime(2, max_steps=50_000_000)
    far, connector = started(runtime)
    with connector:
        runtime.advance(60.0)
        far.revoked = False
        runtime.advance(2 * 1800.0)

        assert not connector.venue("binance").balances()[1].stale
