"""A host out of reach is one trouble of all connections to it, public and private: one asks for all, and its success wakes the
others."""

from __future__ import annotations

import random
from contextlib import contextmanager

import pytest
from far_side import FarSide, connect

from connector.testing.deterministic import DeterministicRuntime


class Quiet(FarSide):
    """Nobody trades there, and it is far away: who waits asks again while the first attempt is under way."""

    def on_connect(self, link=None):
        self.runtime.call_later(0.0 if self.is_out() else 0.4, lambda: super(Quiet, self).on_connect(link))

    def question(self, path, query):
        return (200, []) if path == "aggTrades" else super().question(path, query)


@contextmanager
def followed(seed=7):
    """An account's session and a public stream, both up, at the same host."""
    runtime = DeterministicRuntime(seed)
    far = Quiet(runtime, random.Random(seed))
    connector = connect(far, random.Random(seed), session=True)
    with connector:
        connector.subscribe("binance", "trades", "BTC/USDT")
        runtime.advance(10.0)
        assert kinds(far.links.live) == {"public", "private"}
        yield runtime, far, connector


def kinds(links):
    return {link.settings.name.rsplit("/", 1)[1].rsplit("-", 1)[0] for link in links}


def lose_all(far, out_s):
    far.out_until_s = far.runtime.monotonic_s() + out_s
    for link in far.links.live:
        far.links.server.cut(link)
    return len(far.links.opened)


@pytest.mark.parametrize("seed", range(5))
def test_public_and_private_connections_to_one_host_take_turns_and_come_back_together(seed):
    with followed(seed) as (runtime, far, _):
        opened = lose_all(far, 20.0)
        runtime.advance(20.0)
        tried = far.links.opened[opened:]
        assert len(tried) <= 25 and kinds(tried) == {"public", "private"}
        runtime.advance(3.0)

        assert kinds(far.links.live) == {"public", "private"}


@pytest.mark.parametrize("seed", range(6))
def test_after_half_an_hour_all_are_back_within_a_quarter_of_a_minute(seed):
    with followed(seed) as (runtime, far, _):
        opened = lose_all(far, 1_800.0)
        runtime.advance(1_800.0)
        assert len(far.links.opened) - opened <= 170
        waited_s = 0.0
        while not far.links.live:
            runtime.advance(0.25)
            waited_s += 0.25
        assert waited_s <= 15.5
        runtime.advance(1.5)

        assert kinds(far.links.live) == {"public", "private"}, "the first wakes the other"


def test_a_session_that_breaks_now_and_then_is_back_at_once():
    with followed() as (runtime, far, connector):
        for _ in range(5):
            session = next(link for link in far.links.live if "private" in link.settings.name)
            far.links.server.cut(session)
            runtime.advance(1.0)
            assert "private" in kinds(far.links.live)
            runtime.advance(4.0)
        assert connector.venue("binance").snapshot().counters["session.connections_lost"] == 5


def test_a_session_whose_attempts_fail_does_not_hold_up_a_public_stream_that_was_just_lost():
    with followed() as (runtime, far, _):
        meant = far.links.on_connect

        def refuse_sessions(link):
            if "private" in link.settings.name:
                far.links.server.fail(link)
            else:
                meant(link)

        far.links.on_connect = refuse_sessions
        session = next(link for link in far.links.live if "private" in link.settings.name)
        far.links.server.cut(session)
        runtime.advance(120.0)
        for _ in range(4):
            (public,) = far.links.live
            far.links.server.cut(public)
            runtime.advance(1.0)
            assert kinds(far.links.live) == {"public"}
            runtime.advance(20.0)
