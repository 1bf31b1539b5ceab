"""The judges of the long run see what they are there for: growth behind noise, trades that came wrong, differences that stay."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

if str(Path(__file__).parents[1] / "faults") not in sys.path:
    sys.path.append(str(Path(__file__).parents[1] / "faults"))

from curves import Curve, Panel, growth_per_hour, picture
from products import BINANCE, PRODUCTS
from soak import Notes, Tape, growth, read_samples

from connector import Gap

HOUR_S = 3600.0
EVERY_5_S = [5.0 * number for number in range(720)]


def test_a_figure_that_swings_with_every_fault_does_not_grow():
    swinging = [(at_s, 40.0 + 6.0 * math.sin(at_s / 3.0)) for at_s in EVERY_5_S]

    assert abs(growth_per_hour(swinging, 360.0)) < 0.5


def test_one_outage_of_five_minutes_is_no_growth():
    spiked = [(at_s, 500.0 if 3000.0 <= at_s < 3300.0 else 40.0) for at_s in EVERY_5_S]

    assert growth_per_hour(spiked, 360.0) == 0.0


def test_one_thread_in_ten_minutes_is_growth_of_six_an_hour():
    leaking = [(at_s, 40.0 + at_s // 600.0 + 3.0 * (at_s % 35.0 < 10.0)) for at_s in EVERY_5_S]

    assert growth_per_hour(leaking, 360.0) == pytest.approx(6.0, abs=0.6)


def test_what_grows_in_the_warm_up_alone_does_not_count():
    warming = [(at_s, min(at_s, 360.0)) for at_s in EVERY_5_S]

    assert growth_per_hour(warming, 360.0) == 0.0


@pytest.mark.parametrize("points", [[], [(1.0, 5.0)], [(1.0, 5.0), (1.0, 9.0)]])
def test_too_little_to_judge_is_no_growth(points):
    assert growth_per_hour(points) == 0.0


def samples(**grows: float) -> list[dict]:
    """An hour in which some figures grow so much an hour."""
    flat = {
        "threads": 80,
        "descriptors": 160,
        "memory_mb": 100.0,
        "in_use_mb": 60.0,
        "blocks": 10**6,
        "inboxes": 0,
        "deepest": 2,
    }
    flat |= {"inbox_dropped": 0, "left_behind": 0}
    rates = {name: grows.get(name, 0.0) for name in flat}
    return [{"at_s": at_s} | {name: flat[name] + rates[name] * at_s / HOUR_S for name in flat} for at_s in EVERY_5_S]


@pytest.mark.parametrize("name", ["threads", "descriptors", "in_use_mb", "inboxes"])
def test_growth_of_each_figure_fails_a_run_of_an_hour(name):
    assert all(row["ok"] for row in growth(samples(), HOUR_S))
    assert not all(row["ok"] for row in growth(samples(**{name: 30.0}), HOUR_S))


def test_a_run_too_short_to_tell_shows_its_slopes_and_judges_none():
    assert all(row["ok"] for row in growth(samples(threads=500.0), 120.0))


def trade(number: int) -> SimpleNamespace:
    return SimpleNamespace(trade_id=number, sequence=number, price=1)


def gap(first: int, last: int) -> Gap:
    return Gap("binance", "trades BTC/USDT", 1, 2, "connection lost", first, last, last - first + 1)


def test_a_tape_tells_doubled_trades_from_those_out_of_order_and_those_never_told():
    tape = Tape(BINANCE)
    for value in (trade(1), trade(2), trade(2), trade(1), trade(3), trade(7), gap(4, 6), trade(10), trade(11)):
        tape(value)

    assert (tape.trades, tape.doubled, tape.backwards, tape.untold()) == (8, 2, 1, 2)
    assert tape.jumps == [(4, 6), (8, 9)]


def test_one_jump_may_be_told_by_several_gaps():
    tape = Tape(BINANCE)
    for value in (trade(1), gap(2, 3), gap(4, 5), trade(6)):
        tape(value)

    assert (tape.jumps, tape.untold()) == ([(2, 5)], 0)


def test_a_tape_of_opaque_ids_takes_several_trades_of_one_sequence():
    tape = Tape(PRODUCTS["bybit-linear"])
    for name in ("a", "b", "c"):
        tape(SimpleNamespace(trade_id=name, sequence=5, price=1))

    assert (tape.doubled, tape.backwards, tape.untold()) == (0, 0, 0)


def test_notes_keep_the_newest_and_stay_bounded(monkeypatch):
    monkeypatch.setattr("soak.NOTED_BOOKS", 3)
    notes = Notes()
    for number in range(10):
        notes[number] = number

    assert list(notes) == [7, 8, 9]


def test_samples_of_a_run_that_was_cut_off_can_be_read(tmp_path):
    path = tmp_path / "soak.jsonl"
    path.write_text('{"at_s": 0.0}\n{"at_s": 5.0}\n', encoding="utf-8")
    assert read_samples(path) == ([{"at_s": 0.0}, {"at_s": 5.0}], [])

    path.write_text('{"at_s": 0.0}\n{"marks": [1.5]}\n', encoding="utf-8")
    assert read_samples(path) == ([{"at_s": 0.0}], [1.5])


def test_a_picture_is_well_formed_and_has_every_panel_and_no_more_points_than_it_can_show():
    curve = Curve("threads & more", [(float(number), float(number % 7)) for number in range(100_000)])

    drawn = ET.fromstring(picture("An hour", [Panel("a", [curve]), Panel("b", [])], 1e5, 1e4, [5.0]))

    lines = [each for each in drawn.iter() if each.tag.endswith("polyline")]
    assert len(lines) == 1
    assert len(lines[0].attrib["points"].split()) <= 2_000
    assert {"a", "b"} <= {each.text for each in drawn.iter() if each.tag.endswith("text")}
