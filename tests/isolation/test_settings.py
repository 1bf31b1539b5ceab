"""What cannot follow into another process is refused when the connector is made, with a way out in words."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import pytest

from connector import Connector, VenueSettings
from connector.assembly import real_parts
from connector.clock import SystemClock
from connector.domain.credentials import Credentials
from connector.drivers.registry import find_driver
from connector.errors import SettingsError
from connector.isolation.setup import Setup, settings_from
from connector.settings import ConnectorSettings
from connector.store.memory import MemoryStore
from connector.store.sqlite import SqliteStore
from connector.trading import MaxOrderSize

KEYS = Credentials("keykeykey01", secret="a secret nobody sees")
URLS = {"rest_url": "http://127.0.0.1:1", "stream_url": "ws://127.0.0.1:1"}


def apart(**fields):
    return VenueSettings("binance", isolation="process", **URLS, **fields)


def test_an_account_needs_a_store_that_outlives_the_process(tmp_path):
    with pytest.raises(SettingsError, match=r"durable store.*MemoryStore"):
        apart(credentials=KEYS)
    with pytest.raises(SettingsError, match="path of its file"):
        apart(credentials=KEYS, store=MemoryStore())
    store = SqliteStore(tmp_path / "open.db")
    with pytest.raises(SettingsError, match="SqliteStore that is open here"):
        apart(credentials=KEYS, store=store)
    store.close()

    for allowed in (MemoryStore, "orders.db", tmp_path / "orders.db"):
        assert apart(credentials=KEYS, store=allowed).store == allowed


def test_a_word_that_is_no_isolation_is_refused():
    with pytest.raises(SettingsError, match="'thread' or 'process'"):
        VenueSettings("binance", isolation="fibre")


def test_hooks_that_cannot_be_imported_are_refused(tmp_path, monkeypatch):
    account = {"credentials": KEYS, "store": tmp_path / "orders.db"}
    with pytest.raises(SettingsError, match=r"risk hook.*importable"):
        Connector([apart(risk_hooks=(lambda command, view: None,), **account)])
    local = type("Local", (), {"__module__": "__main__", "__call__": lambda *_: None})
    monkeypatch.setattr(sys.modules["__main__"], "Local", local, raising=False)
    with pytest.raises(SettingsError, match="main file"):
        Connector([apart(risk_hooks=(local(),), **account)])

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from importable_hook import pass_everything

    Connector([apart(risk_hooks=(pass_everything, MaxOrderSize(Decimal(1))), **account)])


def test_drivers_parts_and_clocks_of_ones_own_are_refused():
    driver = find_driver("binance")
    mine = type(driver)(**{name: getattr(driver, name) for name in driver.__dataclass_fields__})
    with pytest.raises(SettingsError, match="finds its driver by name"):
        Connector([apart()], drivers=[mine])
    clock = SystemClock()
    for more in ({"clock": clock}, {"parts": real_parts(clock)}, {"runtime": object()}):
        with pytest.raises(SettingsError, match="takes no clock, parts or runtime"):
            Connector([apart()], **more)


def test_venues_that_count_apart_share_the_limits_they_have_together():
    with pytest.raises(SettingsError, match="add up to 1"):
        Connector([apart(name="one"), apart(name="two")])
    with pytest.raises(SettingsError, match="add up to 1"):
        Connector([apart(name="one"), VenueSettings("binance", name="two", **URLS)])

    Connector([apart(name="one", budget_share=0.5), apart(name="two", budget_share=0.5)])
    Connector(
        [apart(name="one"), VenueSettings("binance", name="two", rest_url="http://127.0.0.1:2", stream_url="ws://x")]
    )


def test_secrets_are_in_the_order_and_in_no_text_about_it(tmp_path):
    import pickle

    venue = apart(credentials=KEYS, store=tmp_path / "orders.db")
    setup = Setup(ConnectorSettings((venue,)), venue, find_driver("binance"), 5)
    order = pickle.loads(setup.sealed(("open",))[1])
    settings = settings_from(order).venues[0]

    assert "nobody sees" not in repr(setup) + repr(order) + repr(settings) + str(settings)
    assert settings.credentials.reveal("secret") == "a secret nobody sees"
    assert settings.isolation == "thread" and settings.store == tmp_path / "orders.db"
    assert order.open_told == ("open",) and order.began_ns == 5


def test_a_path_is_opened_by_a_venue_on_threads_too_and_closed_at_the_end(tmp_path):
    path = tmp_path / "orders.db"
    connector = Connector([VenueSettings("binance", credentials=KEYS, store=path, **URLS)])
    with connector:
        assert path.exists()

    SqliteStore(path).close()  # nobody holds it any more


def test_diagnostics_tell_the_switch_interval_and_leave_it_alone():
    before = sys.getswitchinterval()
    told = Connector([VenueSettings("binance", **URLS), apart(name="apart", budget_share=0.05)]).diagnostics()

    assert told.switch_interval_s == before == sys.getswitchinterval()
    assert told.venues["binance"].isolation == "thread" and told.venues["binance"].pid == told.pid
    assert told.venues["apart"].isolation == "process" and told.venues["apart"].pid is None
    assert told.venues["apart"].lives == 0
