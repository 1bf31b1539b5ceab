"""Client ids: never twice, valid at the venue, recognisable."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from connector.errors import InvalidRequest, Unsupported
from connector.orders.ids import MARK, ClientIds, check_client_id, is_ours


@dataclass(frozen=True)
class Rules:
    client_id: str = r"[a-zA-Z0-9-_]{1,36}"
    client_id_length: int = 36


def maker(seed: int = 1, rules: Rules = Rules()) -> ClientIds:
    return ClientIds(random.Random(seed).random, rules)


def test_no_id_is_given_out_twice_by_one_maker_or_many():
    ids = [made for seed in range(200) for made in (lambda m: [m.make() for _ in range(100)])(maker(seed))]
    assert len(set(ids)) == 20_000


def test_ids_fit_the_venue_and_are_recognised():
    ids = maker()
    for _ in range(2_000):
        made = ids.make()
        check_client_id(made, Rules())
        assert len(made) == 22
        assert made.isalnum()
        assert is_ours(made)
        assert ids.made_here(made)
    assert not maker(2).made_here(made)


@pytest.mark.parametrize(
    "foreign", ["", "web_1234", "x-ABCD", MARK, MARK + "Z" * 20, maker().make() + "0", "a" + maker().make()]
)
def test_ids_of_others_are_not_taken_for_ours(foreign):
    assert not is_ours(foreign)


def test_the_same_chance_gives_the_same_ids():
    assert maker(3).make() == maker(3).make()


def test_the_edges_of_chance_give_valid_ids():
    assert is_ours(ClientIds(lambda: 0.0, Rules()).make())
    assert is_ours(ClientIds(lambda: 0.9999999999999999, Rules()).make())


def test_a_venue_that_cannot_take_our_ids_is_named_at_once():
    with pytest.raises(Unsupported, match="venue takes 12"):
        maker(rules=Rules(client_id_length=12))
    with pytest.raises(Unsupported, match="does not match"):
        maker(rules=Rules(client_id=r"\d+"))


@pytest.mark.parametrize("bad", ["", "a" * 37, "with space", "ümlaut", "line\n"])
def test_an_id_of_the_engines_own_that_the_venue_refuses_is_refused_here(bad):
    with pytest.raises(InvalidRequest, match="client_id"):
        check_client_id(bad, Rules())


def test_an_id_of_the_engines_own_may_be_anything_the_venue_takes():
    check_client_id("my-order_1", Rules())
