"""Keys of an account: read where they are told to be, shown nowhere; what a venue without them says."""

import dataclasses
import random

import pytest
from account_far_side import NAME, FarSide

from connector import Connector, ConnectorSettings, VenueSettings
from connector.domain.credentials import Credentials
from connector.errors import SettingsError, Unsupported
from connector.orders.risk import KillSwitch
from connector.settings import load_credentials
from connector.store import MemoryStore
from connector.telemetry import forget_secret, redact
from connector.testing.deterministic import DeterministicRuntime

SECRET = "canary-secret-7f3a"
PEM = "-----BEGIN PRIVATE KEY-----\ncanary-line-one-91\ncanary-line-two-92\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def far():
    runtime = DeterministicRuntime(1)
    return FarSide(runtime, random.Random(1))


def connector_of(far, venue):
    return Connector(ConnectorSettings((venue,)), clock=far.runtime.clock, parts=far.parts(), runtime=far.runtime)


def test_keys_are_read_from_the_environment_that_is_handed_in():
    found = load_credentials("my-desk", {"MY_DESK_KEY": "k", "MY_DESK_SECRET": SECRET, "MY_DESK_PASSPHRASE": "p"})
    assert (found.key, found.reveal("secret"), found.reveal("passphrase")) == ("k", SECRET, "p")


def test_a_private_key_is_read_from_its_file(tmp_path):
    (tmp_path / "key.pem").write_text(PEM, encoding="utf-8")
    variables = {"DEMO_KEY": "k", "DEMO_PRIVATE_KEY_FILE": str(tmp_path / "key.pem"), "DEMO_PASSWORD": "w"}
    found = load_credentials("demo", variables)
    assert (found.reveal("private_key_pem"), found.reveal("password")) == (PEM, "w")


def test_keys_are_read_from_a_table_of_a_file(tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text(f'[demo]\nkey = "k"\nsecret = "{SECRET}"\n', encoding="utf-8")
    assert load_credentials("demo", file=path).reveal("secret") == SECRET


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'[demo]\nsecret = "{SECRET}"\n', "no key"),
        (f'[other]\nkey = "k"\nsecret = "{SECRET}"\n', r"has no table \[demo\]; it has other"),
        (f'[demo]\nkey = "k"\nsecrets = "{SECRET}"\n', "secrets is not known"),
        (f'[demo]\nkey = 5\nsecret = "{SECRET}"\n', "key is not known or not text"),
        (f'[demo]\nkey = "k"\nsecret = "{SECRET}"\nprivate_key = "{SECRET}"\n', "only one of them"),
        (f'[demo]\nkey = "k"\nprivate_key = "{SECRET}"\nprivate_key_file = "x"\n', "give one of them"),
        (f'[demo]\nkey = "k"\nprivate_key_file = "nowhere-{1}"\n', "cannot be read"),
        (f"demo = {SECRET}", "is not TOML"),
    ],
)
def test_what_is_wrong_with_a_key_file_is_said_without_showing_a_key(tmp_path, text, says):
    path = tmp_path / "keys.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=says) as caught:
        load_credentials("demo", file=path)
    assert SECRET not in repr(caught.getrepr(showlocals=False))


def test_nothing_is_read_unless_it_is_said_where():
    for wrong in ({}, {"environment": {}, "file": "keys.toml"}):
        with pytest.raises(SettingsError, match="environment"):
            load_credentials("demo", **wrong)
    with pytest.raises(SettingsError, match="DEMO_KEY"):
        load_credentials("demo", {})


def test_settings_show_no_secret_and_a_started_venue_hides_it_everywhere(far):
    venue = dataclasses.replace(far.settings(), credentials=Credentials("key-1234567", private_key_pem=PEM))
    assert "canary" not in repr(venue)
    assert "canary" not in repr(ConnectorSettings((venue,)))
    connector = connector_of(far, venue)
    trading = connector._assembly.memories[NAME].trading
    assert "canary" not in f"{trading!r} {trading.auth()!r} {connector!r}"
    try:
        assert "canary" not in redact("found canary-line-one-91 in a traceback")
    finally:
        for text in {PEM, "canary-line-one-91", "canary-line-two-92"}:
            forget_secret(text)


def test_hooks_and_a_store_need_an_account():
    for part in ({"risk_hooks": (KillSwitch(),)}, {"store": MemoryStore()}):
        with pytest.raises(SettingsError, match="credentials"):
            VenueSettings("binance", **part)


def test_a_store_and_hooks_reach_the_account_and_a_store_in_memory_is_the_default(far):
    store, hook = MemoryStore(), KillSwitch()
    trading = connector_of(far, far.settings(store, risk_hooks=[hook]))._assembly.memories[NAME].trading
    assert (trading.store, trading.hooks) == (store, (hook,))
    assert isinstance(connector_of(far, far.settings())._assembly.memories[NAME].trading.store, MemoryStore)


def test_credentials_for_a_driver_of_market_data_only_are_refused_before_anything_starts(far):
    parts = far.parts()
    mute = dataclasses.replace(parts.driver("binance"), trading=None)
    with pytest.raises(Unsupported, match="market data only"):
        Connector(
            ConnectorSettings((far.settings(),)),
            clock=far.runtime.clock,
            parts=dataclasses.replace(parts, driver=lambda name: mute),
            runtime=far.runtime,
        )


def test_a_venue_without_credentials_says_so_when_it_is_asked_about_an_account(far):
    with connector_of(far, VenueSettings("binance", name=NAME)) as connector:
        venue = connector.venue(NAME)
        with pytest.raises(Unsupported, match="without credentials"):
            venue.open_orders()
        with pytest.raises(Unsupported, match="no credentials"):
            venue.orders_stream()
