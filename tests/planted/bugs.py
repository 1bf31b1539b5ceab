"""Known mistakes to plant, each with the harm it would do and the tests that have to notice it. A table; `run.py` plants them.

Each is one that a tired person could make: one place, one text replaced by another. The old text stands exactly once in its
file, which `test_table.py` checks in every `make test`, so that the table keeps up with the code. Tests are named cheapest
first; a run of them stops at the first failure, and the level of that test is the level that caught the mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

__all__ = ["BUGS", "LEVELS", "Bug", "level_of"]

LEVELS = {
    "L1": "pure functions, parsers and small parts by themselves",
    "L2": "state machines against a model",
    "L3": "all actors in one thread, with a fake clock, a fake network and seeds",
    "L4": "real threads, real sockets, the simulators",
    "L5": "processes that are killed",
}
_FOLDERS = {
    "aggregate": "L1",
    "books": "L1",
    "clock": "L1",
    "domain": "L1",
    "drivers": "L1",
    "e2e": "L4",
    "history": "L3",
    "isolation": "L4",
    "matching": "L1",
    "oracle": "L3",
    "orders": "L1",
    "simulator": "L4",
    "store": "L1",
    "supervision": "L3",
    "system": "L4",
    "telemetry": "L1",
    "throttle": "L1",
    "transport": "L4",
    "venue": "L3",
}
_FILES = {
    "aggregate/test_deterministic.py": "L3",
    "aggregate/test_outlets.py": "L3",
    "aggregate/test_two_venues.py": "L4",
    "books/test_sync_machine.py": "L2",
    "drivers/test_mock_venue.py": "L3",
    "e2e/test_kill_nine.py": "L5",
    "history/test_kill.py": "L5",
    "history/test_plan.py": "L1",
    "history/test_sinks.py": "L1",
    "isolation/test_mirrors.py": "L1",
    "isolation/test_settings.py": "L1",
    "isolation/test_wire.py": "L1",
    "simulator/test_margin.py": "L1",
    "store/test_kill.py": "L5",
    "supervision/test_decisions_world.py": "L2",
    "test_canaries.py": "L3",
    "test_ports.py": "L1",
    "transport/test_memory_links.py": "L1",
    "transport/test_text_frames.py": "L1",
    "venue/test_account.py": "L1",
    "venue/test_comparison.py": "L1",
    "venue/test_continuity.py": "L1",
    "venue/test_continuity_contracts.py": "L1",
    "venue/test_delivery.py": "L1",
    "venue/test_feed.py": "L1",
    "venue/test_liveness.py": "L1",
    "venue/test_positions.py": "L1",
    "venue/test_session_sends.py": "L1",
    "venue/test_subscriptions.py": "L1",
}


def level_of(test: str) -> str:
    """The level a test belongs to, by its path: "tests/books/test_sync.py::test_…" is "L1"."""
    path = PurePosixPath(test.partition("::")[0]).relative_to("tests")
    return _FILES.get(path.as_posix()) or _FOLDERS[path.parts[0]]


@dataclass(frozen=True, slots=True)
class Bug:
    """One mistake.

    Attributes:
        id: a short name, unique.
        area: what of the library it is in; the page has a section for each.
        mistake: what is wrong, as a sentence without its full stop.
        harm: what a user would suffer.
        file: the one that holds `old` exactly once.
        tests: files, or files::tests, that have to notice; cheapest first.
    """

    id: str
    area: str
    mistake: str
    harm: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def level(self) -> str:
        """Where it is expected to be caught."""
        return level_of(self.tests[0])

    def planted(self, text: str) -> str:
        """The text of the file with the mistake in it.

        Raises:
            ValueError: the old text is not there exactly once.
        """
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.id}: the old text stands {text.count(self.old)} times in {self.file}, expected once."
            )
        return text.replace(self.old, self.new)


SUPERVISION = (
    Bug(
        "restart_lost",
        "supervision",
        "A delayed restart is planned and its timer never armed",
        "an actor that crashed twice stays down for ever, and its venue with it",
        "connector/supervision/decisions.py",
        "self.actions.append(Wait(child.spec.id, delay_s, child.serial if serial is None else 0))",
        "self.actions.append(Wait(child.spec.id, delay_s, 0))",
        ("tests/supervision/test_a5_backoff.py",),
    ),
    Bug(
        "intensity_never_counts",
        "supervision",
        "Restarts are looked at and never counted",
        "a crash loop burns the machine and the venue's connection budget, and nobody is told",
        "connector/supervision/intensity.py",
        "return None if len(kept) >= self.max_restarts else (*kept, now_s)",
        "return None if len(kept) >= self.max_restarts else kept",
        ("tests/supervision/test_a4_intensity.py",),
    ),
    Bug(
        "backoff_reset_by_a_mere_start",
        "supervision",
        "Having started counts as health, so the backoff begins anew each time",
        "an actor that dies a second after each start is restarted at once for ever",
        "connector/supervision/decisions.py",
        "child = self.move(child, ChildState.RUNNING, tickets=(), by_hand=False)",
        "child = self.move(child, ChildState.RUNNING, tickets=(), by_hand=False, failures=0)",
        ("tests/supervision/test_a5_backoff.py",),
    ),
    Bug(
        "backoff_never_grows",
        "supervision",
        "Every delay has the bound of the first",
        "a venue that is gone for an hour is hammered twice a second",
        "connector/supervision/backoff.py",
        "float(self.base_s * self.factor**step)",
        "float(self.base_s)",
        ("tests/supervision/test_a5_backoff.py",),
    ),
    Bug(
        "epoch_not_checked",
        "supervision",
        "Reports of an earlier incarnation are taken for the present one's",
        "the late death of a fenced actor restarts a healthy one, with orders under way",
        "connector/supervision/decisions.py",
        "return child if child is not None and child.epoch == epoch and child.state in _LIVE else None",
        "return child if child is not None and child.state in _LIVE else None",
        ("tests/supervision/test_decisions_world.py", "tests/supervision/test_a10_hanging.py"),
    ),
    Bug(
        "ask_of_a_fenced_actor_left_open",
        "supervision",
        "Cutting off a hung actor does not end the ask in its hand, so its late answer counts",
        "an engine waits for a hung actor's answer and may believe one given after the replacement acted",
        "connector/supervision/incarnation.py",
        (
            "        entry = self.in_hand\n"
            "        if entry is not None and entry[1] is not None:\n"
            "            entry[1].fail(self._restarted(reason))\n"
            "        self._fail_open_replies(reason)\n"
            "        for timer"
        ),
        "        self._fail_open_replies(reason)\n        for timer",
        ("tests/supervision/test_a10_hanging.py", "tests/supervision/test_a9_references.py"),
    ),
    Bug(
        "late_answer_of_a_fenced_actor_accepted",
        "supervision",
        "The last answer wins over the first",
        'an ask that was told "effect unknown" turns into a success a moment later',
        "connector/supervision/futures.py",
        "            self._claim.pop()\n        except IndexError:\n            return\n        self._value",
        (
            "            self._claim and self._claim.pop()\n"
            "        except IndexError:\n"
            "            return\n"
            "        if self._done:\n"
            "            self._value, self._error = value, None\n"
            "            return\n"
            "        self._value"
        ),
        ("tests/supervision/test_a9_references.py", "tests/supervision/test_a10_hanging.py"),
    ),
    Bug(
        "reply_dropped_in_a_crash",
        "supervision",
        "Answers promised for later are forgotten when the actor crashes",
        'whoever asked waits out the whole timeout instead of hearing "restarted, effect unknown"',
        "connector/supervision/incarnation.py",
        "            self._fail_open_replies(reason)\n            if self.actor is not None:",
        "            if self.actor is not None:",
        ("tests/supervision/test_a9_references.py", "tests/supervision/test_a2_who_is_restarted.py"),
    ),
    Bug(
        "stop_order_wrong",
        "supervision",
        "Children are stopped in the order they were started in",
        "orders lose their session and REST while they are still being followed",
        "connector/supervision/decisions.py",
        "live = tuple(id for id, child in reversed(self.children.items()) if child.state in _LIVE)",
        "live = tuple(id for id, child in self.children.items() if child.state in _LIVE)",
        ("tests/supervision/test_a6_stopping.py",),
    ),
    Bug(
        "hung_actor_not_cut_off",
        "supervision",
        "An actor that does not react to its interrupt is waited for without end",
        "one blocking call takes a venue's orders or stream down for good",
        "connector/supervision/decisions.py",
        (
            "        if child is not None and child.condemned is not None:\n"
            "            self.abandon(child, child.condemned)"
        ),
        "        if child is not None and child.condemned is not None:\n            return",
        ("tests/supervision/test_a10_hanging.py",),
    ),
    Bug(
        "stop_without_end",
        "supervision",
        "A child that does not stop when asked is never abandoned",
        "the program does not end, and nobody can restart it",
        "connector/supervision/decisions.py",
        (
            "            rest_s = min(child.spec.interrupt_grace_s, shutdown_s)\n"
            "            self.actions.append(Arm(ShutdownElapsed(event.id, event.epoch), rest_s))"
        ),
        "            rest_s = min(child.spec.interrupt_grace_s, shutdown_s)",
        ("tests/supervision/test_a6_stopping.py",),
    ),
    Bug(
        "transient_child_restarted_after_a_clean_end",
        "supervision",
        "Every child that ends is started again, whatever its restart type",
        "work that was over is done twice",
        "connector/supervision/decisions.py",
        "        return reason.is_abnormal or restart is Restart.PERMANENT",
        "        return True",
        ("tests/supervision/test_a2_who_is_restarted.py",),
    ),
    Bug(
        "rest_for_one_restarts_all",
        "supervision",
        "A failure takes those started before it along",
        "one part's crash interrupts parts that have nothing to do with it",
        "connector/supervision/decisions.py",
        "group = ids if self.spec.strategy is Strategy.ONE_FOR_ALL else ids[failing:]",
        "group = ids",
        ("tests/supervision/test_a3_strategies.py",),
    ),
    Bug(
        "timer_of_a_dead_incarnation_fires",
        "supervision",
        "A timer message armed before a crash is handled by the next incarnation",
        "a fresh actor acts on what its predecessor had in mind, e.g. sends a stale frame",
        "connector/supervision/incarnation.py",
        "    if tick.incarnation is actor.context._incarnation:\n        actor.on_receive(tick.message)",
        "    actor.on_receive(tick.message)",
        ("tests/supervision/test_a1_starting.py",),
    ),
    Bug(
        "message_lost_to_a_fence",
        "supervision",
        "A message that a fenced actor had just taken is not given back",
        "an order sent in the moment of a replacement vanishes without an answer",
        "connector/supervision/incarnation.py",
        (
            "                self.in_hand = None\n"
            "                queue.appendleft(entry)\n"
            "                cell.inbox.consumer.ring()\n"
        ),
        "                self.in_hand = None\n",
        ("tests/supervision/test_a10_hanging.py", "tests/supervision/test_a9_references.py"),
    ),
    Bug(
        "crash_of_a_helper_thread_unseen",
        "supervision",
        "A thread an actor owns may die without its actor hearing of it",
        "a reader thread is gone, the actor looks healthy, and no data comes any more",
        "connector/supervision/incarnation.py",
        (
            "            except BaseException as error:  # noqa: BLE001 - its crash is the actor's crash\n"
            "                self.crash(error)"
        ),
        "            except BaseException:  # noqa: BLE001\n                pass",
        (
            "tests/supervision/test_pykka_failures.py",
            "tests/supervision/test_a10_hanging.py",
            "tests/supervision/test_a11_observing.py",
        ),
    ),
)

STREAM = (
    Bug(
        "no_resubscribe_after_reconnect",
        "stream",
        "A new connection after a lost one is told nothing of the wanted topics",
        "after the first network hiccup an engine trades on data that stands still",
        "connector/venue/stream.py",
        "        carrier.subscriptions.want(slot.names)\n",
        "        carrier.subscriptions.want(() if slot.last_end else slot.names)\n",
        ("tests/venue/test_deterministic_venue.py", "tests/venue/test_stream_manners.py"),
    ),
    Bug(
        "pong_without_the_pings_words",
        "stream",
        "A ping is answered with an empty pong instead of its own words (websocket-client)",
        "the venue does not recognise the answer and closes the connection every few minutes",
        "connector/transport/websocket_client_link.py",
        "self._post(ABNF.create_frame(frame.data, ABNF.OPCODE_PONG).format())",
        'self._post(ABNF.create_frame(b"", ABNF.OPCODE_PONG).format())',
        ("tests/transport/test_link_contract.py",),
    ),
    Bug(
        "pings_unanswered",
        "stream",
        "A ping is answered by the thread that pings, which sleeps for many seconds, instead of the reader",
        "the venue closes the connection for want of a pong",
        "connector/transport/websocket_client_link.py",
        "                    self._post(ABNF.create_frame(frame.data, ABNF.OPCODE_PONG).format())",
        "                    self._unsent += ABNF.create_frame(frame.data, ABNF.OPCODE_PONG).format()",
        ("tests/transport/test_link_contract.py",),
    ),
    Bug(
        "silent_topic_never_noticed",
        "stream",
        "A topic that once sent data is never suspected again",
        "one dead topic among living ones shows an hour-old price as fresh",
        "connector/venue/silence.py",
        "        if feed.rule.probe is None:\n            return",
        "        if feed.rule.probe is None or feed.last is not None:\n            return",
        ("tests/venue/test_stream_manners.py",),
    ),
    Bug(
        "ack_id_not_checked",
        "stream",
        "An answer is taken for the oldest frame, whatever its number says",
        "a topic counts as subscribed that the venue never confirmed",
        "connector/venue/subscriptions.py",
        "        if request_id is None and self._in_flight:",
        "        if self._in_flight:",
        ("tests/venue/test_subscriptions.py",),
    ),
    Bug(
        "refusal_of_many_taken_for_each",
        "stream",
        "When a frame of several topics is refused, all of them are given up",
        "one delisted symbol takes a hundred good ones out of the market data",
        "connector/venue/subscriptions.py",
        "        if len(answered.frame.names) > 1:",
        "        if len(answered.frame.names) > 100:",
        ("tests/venue/test_subscriptions.py",),
    ),
    Bug(
        "reconnect_backoff_reset_by_a_mere_connect",
        "stream",
        "Having connected at all starts the series of waits over",
        "a venue that accepts and closes at once is connected to without pause, until it bans the address",
        "connector/throttle/connects.py",
        "        if lived_s is not None and lived_s >= self.policy.healthy_s:",
        "        if lived_s is not None:",
        ("tests/throttle/test_connects.py",),
    ),
    Bug(
        "reconnect_backoff_never_grows",
        "stream",
        "Every wait before a reconnect has the bound of the first",
        "an outage of hours is met with a connection attempt twice a second",
        "connector/throttle/connects.py",
        "self.base_s * 2.0 ** min(failures - 2, 60)",
        "self.base_s * 2.0 ** 0",
        ("tests/throttle/test_connects.py",),
    ),
    Bug(
        "connection_budget_ignored",
        "stream",
        "Connections are opened though the venue's budget of attempts is spent",
        "the address is banned in the middle of a storm",
        "connector/venue/stream.py",
        '        if wait_s > 0.0:\n            self._memory.counters.add("stream.connects_delayed")',
        '        if wait_s > 600.0:\n            self._memory.counters.add("stream.connects_delayed")',
        ("tests/venue/test_stream_manners.py",),
    ),
    Bug(
        "retry_after_of_an_upgrade_ignored",
        "stream",
        "A refused upgrade is tried again without regard to the time the venue named",
        "a warning becomes a ban",
        "connector/venue/stream.py",
        "        self._attempt_in(slot, max(delay_s, retry_after_s or 0.0))",
        "        self._attempt_in(slot, delay_s)",
        ("tests/venue/test_stream_manners.py",),
    ),
    Bug(
        "upgrade_timeout_ignored",
        "stream",
        "An upgrade that is never answered is waited for as long as it takes",
        "a half-dead load balancer stops all data, and no reconnect ever begins",
        "connector/transport/websocket_client_link.py",
        "self._wire.begin(self._clock.monotonic_s() + settings.upgrade_timeout_s)",
        "self._wire.begin(self._clock.monotonic_s() + 3_600.0)",
        ("tests/transport/test_link_contract.py",),
    ),
    Bug(
        "half_open_connection_kept",
        "stream",
        "Nothing received for any length of time is no reason to end a connection",
        "after a cable is pulled the engine trades on the last price for as long as TCP likes",
        "connector/transport/websocket_client_link.py",
        "        idle_s = self._settings.idle_timeout_s\n",
        "        idle_s = 3_600.0\n",
        ("tests/transport/test_link_contract.py",),
    ),
    Bug(
        "frames_of_an_old_connection_accepted",
        "stream",
        "Frames of a connection that was replaced are delivered",
        "a trade comes twice, or an old book update spoils a new book",
        "connector/venue/feed.py",
        "            if source is self._owner:\n                self._take",
        "            if source is not self._successor:\n                self._take",
        ("tests/venue/test_feed.py",),
    ),
    Bug(
        "reader_not_waited_for",
        "stream",
        "Whoever needs a feed does not wait until its reader has left it",
        "two threads deliver and change one topic at once: values come twice, out of order, or not at all",
        "connector/venue/feed.py",
        "        if self._at is not feed:\n            return True\n        with",
        "        if self._at is not None:\n            return True\n        with",
        ("tests/venue/test_feed.py",),
    ),
    Bug(
        "rollover_before_the_new_connection_carries_all",
        "stream",
        "The old connection is closed before the new one has confirmed every topic",
        "each planned change of connection loses trades and voids every book",
        "connector/venue/stream.py",
        "            if settled_s is not None and now_s - settled_s >= OVERLAP_S:",
        "            if settled_s is None or now_s - settled_s >= OVERLAP_S:",
        ("tests/venue/test_stream_manners.py",),
    ),
    Bug(
        "lost_connection_leaves_topics_live",
        "stream",
        "When a connection ends, its topics keep saying that they are live",
        "stale prices are handed out as fresh for as long as the outage lasts",
        "connector/venue/stream.py",
        "            table[name].on_disconnected(slot.last_end)\n",
        "            table[name].quiet_s = now_s\n",
        ("tests/venue/test_stream_manners.py",),
    ),
    Bug(
        "one_missing_trade_unseen",
        "stream",
        "A hole of a single trade is not taken for one",
        "tape and volumes are wrong, and nothing says so",
        "connector/venue/continuity.py",
        "new.trade_id <= last.trade_id + 1:",
        "new.trade_id <= last.trade_id + 2:",
        ("tests/venue/test_continuity.py", "tests/venue/test_feed.py"),
    ),
    Bug(
        "repeated_values_delivered",
        "stream",
        "Values that come twice are handed out twice",
        "volumes count double after every overlap of connections",
        "connector/venue/feed.py",
        "            self.duplicates += 1\n            return\n        self._on_new(value, key, now_s)",
        "            self.duplicates += 1\n        self._on_new(value, key, now_s)",
        ("tests/venue/test_feed.py",),
    ),
    Bug(
        "recovered_values_unmarked",
        "stream",
        "Values fetched afterwards look like live ones",
        "a strategy acts on trades of a minute ago as if they had just happened",
        "connector/venue/feed.py",
        "self._deliver(msgspec.structs.replace(value, recovered=True))",
        "self._deliver(value)",
        ("tests/venue/test_feed.py",),
    ),
    Bug(
        "every_unreadable_frame_a_kind_of_its_own",
        "stream",
        "An alarm is told anew for each value that is found in an unreadable frame",
        "the one alarm that matters drowns among hundreds",
        "connector/venue/feed.py",
        'kind = _VARYING.sub("…", unreadable.problem)',
        "kind = unreadable.problem",
        ("tests/venue/test_feed.py",),
    ),
    Bug(
        "account_not_compared_after_the_private_session_came_back",
        "stream",
        "A private session that is up again tells nobody to ask what happened meanwhile",
        "fills during an outage stay unknown until the slow timer finds them",
        "connector/venue/private.py",
        "        if self._events:\n            self._to_state(PrivateUp(connection.number))",
        "        if self._events and self._number == 1:\n            self._to_state(PrivateUp(connection.number))",
        ("tests/venue/test_order_manners.py",),
    ),
    Bug(
        "dead_key_tried_at_full_speed",
        "stream",
        "A refused key slows nothing down",
        "an expired key gets the address banned",
        "connector/venue/private.py",
        "        return max(delay_s, dead_key_wait_s(self._refused_keys)) if self._refused_keys else delay_s",
        "        return delay_s",
        ("tests/venue/test_dead_key.py", "tests/venue/test_account_deterministic.py"),
    ),
    Bug(
        "pong_without_the_pings_words_picows",
        "stream",
        "A ping is answered with an empty pong instead of its own words (picows)",
        "the venue does not recognise the answer and closes the connection every few minutes",
        "connector/transport/picows_link.py",
        "cast(WSTransport, self._transport).send_pong(payload)",
        'cast(WSTransport, self._transport).send_pong(b"")',
        ("tests/transport/test_link_contract.py",),
    ),
    Bug(
        "half_open_connection_kept_picows",
        "stream",
        "Silence of any length is no reason to end a connection (picows)",
        "after a cable is pulled the engine trades on the last price for as long as TCP likes",
        "connector/transport/picows_link.py",
        "        loop.call_later(settings.idle_timeout_s, self._judge_idle)\n        if settings",
        "        loop.call_later(3_600.0, self._judge_idle)\n        if settings",
        ("tests/transport/test_link_contract.py",),
    ),
    Bug(
        "lost_session_leaves_requests_waiting",
        "stream",
        "Whoever waits for a reply on a private connection that ended is not told",
        "an order seems to be on its way while its answer cannot come any more",
        "connector/venue/session.py",
        "            waiting.done(SessionLost(reason))\n\n    def lose_all",
        "            pass\n\n    def lose_all",
        ("tests/venue/test_session_sends.py", "tests/venue/test_orders_deterministic.py"),
    ),
)

BOOKS = (
    Bug(
        "book_not_cleared_after_a_gap",
        "books",
        "Updates after a gap are applied to the old book",
        "levels that are long gone stay in the book, and orders are priced on them",
        "connector/books/sync.py",
        '        if place is Continuity.GAP:\n            self.counts["gap"] += 1\n            reason =',
        (
            "        if place is Continuity.GAP and self._unlinked:\n"
            '            self.counts["gap"] += 1\n'
            "            reason ="
        ),
        ("tests/books/test_sync.py", "tests/books/test_sync_machine.py"),
    ),
    Bug(
        "first_update_judged_like_any_other",
        "books",
        "The first update after a snapshot has to follow it like every later one",
        "on Binance futures, where it overlaps the snapshot, no book ever becomes valid",
        "connector/books/sync.py",
        "place = (self._first if self._unlinked else self._continuity)(self._update_id, delta)",
        "place = self._continuity(self._update_id, delta)",
        ("tests/drivers/test_binance_futures_books.py", "tests/books/test_sync.py"),
    ),
    Bug(
        "snapshot_older_than_the_buffer_accepted",
        "books",
        "A snapshot from before the first buffered update is joined to it",
        "the updates between the two are missing in a book called valid",
        "connector/drivers/binance/books.py",
        "    return snapshot.update_id >= first_delta.first_update_id",
        "    return True",
        ("tests/drivers/test_binance_books.py", "tests/books/test_sync.py"),
    ),
    Bug(
        "first_update_off_by_one",
        "books",
        "An update that begins two after the book still counts as the next",
        "one update is missing in a book called valid",
        "connector/drivers/binance/books.py",
        "delta.first_update_id > update_id + 1 else",
        "delta.first_update_id > update_id + 2 else",
        ("tests/drivers/test_binance_books.py",),
    ),
    Bug(
        "futures_update_chained_by_the_wrong_id",
        "books",
        "Binance futures' updates are joined by their first id, not by the id of the one before",
        "ids there are not consecutive: every update looks like a gap, and no book is ever valid",
        "connector/drivers/binance/futures/books.py",
        "    return Continuity.NEXT if delta.previous_update_id == update_id else Continuity.GAP",
        "    return Continuity.NEXT if delta.first_update_id == update_id + 1 else Continuity.GAP",
        ("tests/drivers/test_binance_futures_books.py",),
    ),
    Bug(
        "bybit_gap_not_seen",
        "books",
        "On Bybit any update with a higher number counts as the next",
        "a lost update leaves dead levels in the book",
        "connector/drivers/bybit/books.py",
        "    return Continuity.NEXT if delta.last_update_id == update_id + 1 else Continuity.GAP",
        "    return Continuity.NEXT",
        ("tests/drivers/test_bybit_books.py",),
    ),
    Bug(
        "levels_of_zero_kept",
        "books",
        'Only the text "0" removes a level, "0.00000000" does not',
        "best prices are levels that nobody stands behind",
        "connector/books/book.py",
        '        return not quantity.strip("0.")',
        '        return quantity == "0"',
        ("tests/books/test_book.py",),
    ),
    Bug(
        "crossed_book_handed_out",
        "books",
        "A book whose bid is above its ask counts as valid",
        "an arbitrage appears that is none",
        "connector/books/sync.py",
        '            nonsense = "crossed"\n',
        '            nonsense = ""\n',
        ("tests/books/test_sync.py", "tests/books/test_sync_machine.py"),
    ),
    Bug(
        "stale_book_handed_out",
        "books",
        "A book may be read though it is not valid",
        "an engine prices orders on a book that may be wrong",
        "connector/books/sync.py",
        "        if self._state is not BookState.VALID or self._book is None:\n            raise BookNotValid",
        "        if self._book is None:\n            raise BookNotValid",
        ("tests/books/test_sync.py", "tests/books/test_sync_machine.py"),
    ),
    Bug(
        "book_survives_a_lost_connection",
        "books",
        "The book stays valid when its connection is lost",
        "prices of before the outage are handed out as present ones",
        "connector/books/sync.py",
        "        self._connected = False\n        return self._drop(BookState.INVALID, reason)",
        "        self._connected = False\n        return _NOTHING",
        ("tests/books/test_sync.py", "tests/books/test_sync_machine.py"),
    ),
    Bug(
        "price_through_a_float",
        "books",
        "A price is sorted as the nearest floating-point number",
        "two prices fall together, or a level lands in the wrong place",
        "connector/books/book.py",
        '            key = int(whole + part.ljust(_PLACES, "0"))',
        "            key = int(float(price) * 10**_PLACES)",
        ("tests/books/test_book.py",),
    ),
    Bug(
        "unreadable_update_passed_over",
        "books",
        "An update that cannot be read leaves the book as it was, and valid",
        "whatever it said is missing in the book from then on",
        "connector/venue/book_feed.py",
        (
            '            self._perform(self.book.on_overflow(f"an update could not be read: {unreadable.problem}"))\n'
            "            return"
        ),
        "            return",
        ("tests/venue/test_stream_manners.py",),
    ),
    Bug(
        "levels_beyond_a_cut_snapshot_kept",
        "books",
        "Levels outside the range of a cut snapshot are taken into the book",
        "between two levels handed out, others are missing",
        "connector/books/book.py",
        "            elif least <= key <= most:",
        "            else:",
        ("tests/books/test_book.py",),
    ),
    Bug(
        "halted_symbols_book_stays_valid",
        "books",
        "A book stays valid when its symbol stops trading",
        "quotes are shown that nobody can trade on",
        "connector/books/sync.py",
        '        if not trading:\n            return self._drop(BookState.INVALID, "the symbol is not trading")',
        "        if not trading:\n            return _NOTHING",
        ("tests/books/test_sync.py",),
    ),
)

REST = (
    Bug(
        "retry_after_ignored",
        "rest and limits",
        "A budget the venue refused is used again at once",
        "429 becomes 418, and the address is banned with orders open",
        "connector/throttle/ledger.py",
        "                    budget.block(now_s + wait_s + MARGIN_S)",
        "                    budget.block(now_s)",
        ("tests/throttle/test_ledger.py",),
    ),
    Bug(
        "ban_ignored",
        "rest and limits",
        "A ban stops nothing",
        "each call makes the ban longer, up to days",
        "connector/throttle/ledger.py",
        "self._banned_until_s = max(self._banned_until_s, now_s + wait_s + MARGIN_S)",
        "self._banned_until_s = max(self._banned_until_s, now_s)",
        ("tests/throttle/test_ledger.py",),
    ),
    Bug(
        "budget_not_charged",
        "rest and limits",
        "Every request costs one point, whatever its weight",
        "the limit is overrun fifty times over, and the address banned",
        "connector/throttle/ledger.py",
        "            holds.append((budget, budget.take(charge.points, now_s, venue)))",
        "            holds.append((budget, budget.take(1, now_s, venue)))",
        ("tests/throttle/test_ledger.py",),
    ),
    Bug(
        "others_at_the_address_not_counted",
        "rest and limits",
        "What the venue's headers say was used is not looked at",
        "with a second program at the address the limit is overrun every minute",
        "connector/throttle/budget.py",
        "        if used is not None:\n            self._heard(used, hold, now_s)",
        "        if used is not None and hold.points < 0:\n            self._heard(used, hold, now_s)",
        ("tests/throttle/test_budget.py",),
    ),
    Bug(
        "request_in_flight_not_counted",
        "rest and limits",
        "A request counts only once it is answered",
        "a burst goes out that the venue refuses",
        "connector/throttle/budget.py",
        "        excess = self._sliding + self._in_flight + points - ceiling",
        "        excess = self._sliding + points - ceiling",
        ("tests/throttle/test_budget.py", "tests/throttle/test_ledger.py"),
    ),
    Bug(
        "cancel_waits_behind_reads",
        "rest and limits",
        "Cancels stand in line like everything else",
        "with a spent budget an order cannot be taken back for a minute",
        "connector/throttle/ledger.py",
        "        ticket = _Ticket((int(priority), next(self._numbers)), known, changed)",
        "        ticket = _Ticket((int(Priority.READ), next(self._numbers)), known, changed)",
        ("tests/throttle/test_ledger.py",),
    ),
    Bug(
        "order_sent_again_after_a_lost_answer",
        "rest and limits",
        "Writes are retried like reads when no answer came",
        "an order fills twice",
        "connector/transport/http.py",
        "        if not request.safe:\n            return self._send_once(request)\n        policy",
        "        policy",
        ("tests/transport/test_http.py", "tests/transport/test_http_writes.py"),
    ),
    Bug(
        "timeout_told_as_not_sent",
        "rest and limits",
        "An order whose answer did not come is told as not sent",
        "the engine places it again: two orders at the venue",
        "connector/transport/http.py",
        "        if not worker.left:\n            return NotConnected(",
        "        if not worker.left or not request.safe:\n            return NotConnected(",
        ("tests/transport/test_http.py", "tests/transport/test_http_writes.py"),
    ),
    Bug(
        "deadline_not_kept",
        "rest and limits",
        "A call may take as long as the far side likes",
        "every worker hangs in a dead connection, and nothing can be asked or cancelled",
        "connector/transport/http.py",
        "        wanted_s, set_s = min(limit_s, remaining_s), sock.gettimeout()",
        "        wanted_s, set_s = 3_600.0, sock.gettimeout()",
        ("tests/transport/test_http.py",),
    ),
    Bug(
        "server_error_taken_for_no",
        "rest and limits",
        "Binance's 5xx to an order is told as a refusal",
        "the order may be live at the venue, and the engine believes that it is not",
        "connector/drivers/binance/failures.py",
        "    if status >= 500:\n        if write:",
        "    if status >= 500:\n        if write and status == 503:",
        ("tests/drivers/test_binance_errors.py", "tests/drivers/test_binance_conformance.py"),
    ),
    Bug(
        "unknown_code_taken_for_no",
        "rest and limits",
        "A code that is not in Binance's table counts as a refusal of an order",
        "a new code of the venue turns live orders into rejected ones",
        "connector/drivers/binance/failures.py",
        '    if write:\n        return OutcomeUnknown(f"{shown}. This is no answer known',
        '    if write and code is None:\n        return OutcomeUnknown(f"{shown}. This is no answer known',
        ("tests/drivers/test_binance_errors.py", "tests/drivers/test_binance_conformance.py"),
    ),
)

ORDERS = (
    Bug(
        "timeout_taken_for_reject",
        "orders",
        "An order whose answer is lost counts as rejected",
        "it may be live; the engine replaces it, and holds twice what it meant",
        "connector/orders/outcomes.py",
        "        case Lost(reason):\n            return _unknown(pending, reason)",
        '        case Lost(reason):\n            return _settle(pending, OutcomeKind.REJECTED, "lost", reason)',
        ("tests/orders/test_outcomes.py",),
    ),
    Bug(
        "unclear_answer_taken_for_reject",
        "orders",
        "An answer that may be wrong (5xx, a broken body) settles the order as refused",
        "a live order is called dead",
        "connector/venue/orders.py",
        "        if isinstance(failure, OutcomeUnknown):\n            self._learn(order, Lost(str(failure)))",
        (
            "        if isinstance(failure, OutcomeUnknown):\n"
            '            self._learn(order, Refused("unknown", str(failure)))'
        ),
        ("tests/venue/test_orders_deterministic.py", "tests/venue/test_health.py"),
    ),
    Bug(
        "not_found_at_once_taken_for_never",
        "orders",
        'The answer "no such order" counts though the request may still be on its way',
        "an order shows up that was called dead: a ghost",
        "connector/orders/outcomes.py",
        "    return asked.venue_ms is not None and asked.venue_ms > pending.provable_after_ms",
        "    return asked.venue_ms is not None",
        ("tests/orders/test_outcomes.py",),
    ),
    Bug(
        "not_found_once_is_enough",
        "orders",
        'One "no such order" counts, though venues show new orders late',
        "an order shows up that was called dead",
        "connector/orders/outcomes.py",
        "_MISSES = 2\n",
        "_MISSES = 1\n",
        ("tests/orders/test_outcomes.py",),
    ),
    Bug(
        "fills_not_looked_at_before_never",
        "orders",
        "An order counts as never arrived before the fills were asked for",
        "one that filled at once and was forgotten by the venue's list is called dead, with a position open",
        "connector/orders/outcomes.py",
        "pending.exists or not (pending.not_open and pending.not_in_fills):",
        "pending.exists or not pending.not_open:",
        ("tests/orders/test_outcomes.py",),
    ),
    Bug(
        "duplicate_id_taken_for_reject",
        "orders",
        "X",
        "the order is live, and the engine believes that it is not",
        "connector/orders/outcomes.py",
        "            return _but(pending, lost=told, exists=True, questions=0, last_question_ns=None)",
        '            return _settle(pending, OutcomeKind.REJECTED, "duplicate", told)',
        ("tests/orders/test_outcomes.py",),
    ),
    Bug(
        "cancel_ack_taken_for_final",
        "orders",
        "The receipt of a cancel ends the order",
        "a fill that was quicker than the cancel is a surprise",
        "connector/orders/outcomes.py",
        "    elif pending.kind is CommandKind.AMEND:\n        pending = _settle(pending, OutcomeKind.ACCEPTED)",
        "    else:\n        pending = _settle(pending, OutcomeKind.ACCEPTED)",
        ("tests/orders/test_outcomes.py", "tests/venue/test_order_manners.py"),
    ),
    Bug(
        "cancel_of_a_filled_order_succeeds",
        "orders",
        "A cancel counts as done however the order ended",
        "the engine believes it holds nothing, and holds all of it",
        "connector/orders/outcomes.py",
        "    if pending.kind is CommandKind.CANCEL and report.status is OrderStatus.CANCELED:",
        "    if pending.kind is CommandKind.CANCEL:",
        ("tests/orders/test_outcomes.py",),
    ),
    Bug(
        "amend_called_dead_by_an_early_look",
        "orders",
        "An amend whose answer is lost counts as refused as soon as the old version is seen once",
        "price or size are not what the engine believes: the new version may come a moment later",
        "connector/orders/outcomes.py",
        "    pending = _miss(pending, asked)\n    if pending.misses < _MISSES:\n        return pending\n    amount",
        "    pending = _miss(pending, asked)\n    amount",
        ("tests/orders/test_outcomes.py", "tests/venue/test_amends.py"),
    ),
    Bug(
        "amend_settled_by_an_old_report",
        "orders",
        "A report from before an amend counts as its success",
        "price or size are not what the engine believes",
        "connector/orders/outcomes.py",
        "    if pending.kind is CommandKind.AMEND and is_later and met:",
        "    if pending.kind is CommandKind.AMEND and met:",
        ("tests/orders/test_outcomes.py", "tests/venue/test_amends.py"),
    ),
    Bug(
        "fill_counted_twice",
        "orders",
        "A fill that is told by two ways is counted by each",
        "position and profit are wrong, and the hedge is double",
        "connector/orders/lifecycle.py",
        "    if at < len(fills) and fills[at].trade_id == fill.trade_id:",
        "    if at < len(fills) and fills[at] == fill:",
        ("tests/orders/test_lifecycle.py",),
    ),
    Bug(
        "fees_summed_over_assets_wrongly",
        "orders",
        "Of several fees in one asset the last one is the sum",
        "profit looks better than it is",
        "connector/orders/lifecycle.py",
        "fees[fill.fee_asset] = total((fees.get(fill.fee_asset, ZERO), fill.fee))",
        "fees[fill.fee_asset] = fill.fee",
        ("tests/orders/test_lifecycle.py",),
    ),
    Bug(
        "final_order_opened_again",
        "orders",
        "A report that is late makes a final order open again",
        "a cancelled order is waited for, or cancelled again",
        "connector/orders/lifecycle.py",
        "    if one_final != other_final:\n        return one_final\n",
        "",
        ("tests/orders/test_lifecycle.py",),
    ),
    Bug(
        "report_with_less_filled_taken_for_the_newer",
        "orders",
        "Of two reports the later by its stamp wins, though less is filled in it",
        "an order that has traded looks untouched, and its average price is lost",
        "connector/orders/lifecycle.py",
        "    if one_filled != other_filled:\n        return one_filled > other_filled\n",
        "",
        ("tests/orders/test_lifecycle.py",),
    ),
    Bug(
        "filled_quantity_goes_back",
        "orders",
        "The filled quantity is the one of the last report, not the largest",
        "the position shrinks on paper",
        "connector/orders/lifecycle.py",
        "    reported, reported_filled = max(_reported(changed), _filled_units(report))",
        "    reported, reported_filled = _filled_units(report)",
        ("tests/orders/test_lifecycle.py",),
    ),
    Bug(
        "late_fill_after_a_cancel_ignored",
        "orders",
        "What the venue's sum says counts, fills beyond it do not",
        "a fill that came after the cancel is missing in the filled quantity",
        "connector/orders/lifecycle.py",
        "    filled = record.filled if record.counted >= record.reported else _reported(record)[1]",
        "    filled = _reported(record)[1] if record.newest is not None else record.filled",
        ("tests/orders/test_lifecycle.py",),
    ),
    Bug(
        "reconciliation_overwrites_newer_balances",
        "orders",
        "The answer to a question replaces what the stream told since it was asked",
        "free funds jump back, and an order is sized on money that is spent",
        "connector/orders/reconcile.py",
        "if (known.free, known.locked) == (free, locked) or later or (asked_ns and known.received_ns > asked_ns):",
        "if (known.free, known.locked) == (free, locked):",
        ("tests/orders/test_reconcile.py",),
    ),
    Bug(
        "missing_from_an_answer_taken_for_gone",
        "orders",
        "An order the venue's list does not show is not asked for any more",
        "its end, and its fills, are never learned",
        "connector/orders/reconcile.py",
        "if not record.is_final and client_id not in answered),",
        "if not record.is_final and client_id in answered),",
        ("tests/orders/test_reconcile.py",),
    ),
    Bug(
        "quantity_off_the_grid_let_through",
        "orders",
        "A quantity between two steps is no reason to refuse an order",
        "the venue refuses it, or a rounding somewhere makes it more than was meant",
        "connector/orders/filters.py",
        "    elif step is not None and not is_multiple(value, step):",
        "    elif step is not None and value < step:",
        ("tests/orders/test_filters.py",),
    ),
    Bug(
        "quantity_rounded_up",
        "orders",
        "Quantities are rounded up to the grid",
        "more is bought than was meant, and a sale of all that is held is refused",
        "connector/orders/rounding.py",
        '    """A quantity on the grid, never more than was asked for."""\n    return down(quantity, step)',
        '    """A quantity on the grid, never more than was asked for."""\n    return up(quantity, step)',
        ("tests/orders/test_rounding.py",),
    ),
    Bug(
        "float_in_a_money_sum",
        "orders",
        "Price and quantity are multiplied as floating-point numbers",
        "average prices and profits drift from the venue's",
        "connector/orders/rounding.py",
        "    return _EXACT.multiply(left, right)",
        "    return Decimal(str(float(left) * float(right)))",
        ("tests/orders/test_rounding.py", "tests/orders/test_lifecycle.py"),
    ),
    Bug(
        "risk_hooks_exception_lets_orders_pass",
        "orders",
        "A hook that fails lets the order pass",
        "a bug in a limit is the end of that limit, unnoticed",
        "connector/orders/risk.py",
        (
            "        raise RiskRefused(\n"
            '            name, f"it failed with {type(failure).__name__}, and a hook that fails lets nothing pass"\n'
            "        ) from failure"
        ),
        "        del failure\n        return",
        ("tests/orders/test_risk.py",),
    ),
    Bug(
        "unknown_position_lets_orders_pass",
        "orders",
        "As long as positions are not known, the position limit is not checked",
        "after each restart the limit is no limit for a while",
        "connector/orders/risk.py",
        (
            "        if view.positions is None:\n"
            '            raise RiskRefused(self.name, "positions are not known yet; they are being asked for")'
        ),
        "        if view.positions is None:\n            return",
        ("tests/orders/test_risk.py",),
    ),
    Bug(
        "hung_risk_hook_lets_orders_pass",
        "orders",
        "A hook that does not answer in time is passed over",
        "a limit that waits for a database is no limit",
        "connector/venue/orders.py",
        "                self._hooks = _HookThread(self.context.spawn)\n                raise RiskRefused(",
        "                self._hooks = _HookThread(self.context.spawn)\n                RiskRefused(",
        ("tests/system/test_order_risk.py",),
    ),
    Bug(
        "kill_switch_lets_orders_pass",
        "orders",
        "The kill switch is asked only when there are risk hooks",
        "an operator stops trading, and trading goes on",
        "connector/venue/orders.py",
        "        if not trading.hooks and not trading.killed:",
        "        if not trading.hooks:",
        ("tests/venue/test_health.py", "tests/venue/test_kill_switch.py", "tests/system/test_order_risk.py"),
    ),
    Bug(
        "kill_switch_forgets_those_who_wait",
        "orders",
        "Orders that waited for their budget go out after the kill switch",
        "an operator stops trading, and orders still leave",
        "connector/venue/orders.py",
        "        if self._trading.killed and kind is not CommandKind.CANCEL:",
        "        if self._trading.killed and kind is CommandKind.AMEND:",
        ("tests/venue/test_kill_switch.py",),
    ),
    Bug(
        "journal_after_the_first_byte",
        "orders",
        "An order is journalled after it was sent",
        "a crash in between leaves an order at the venue that nobody knows of",
        "connector/venue/orders.py",
        (
            "        if not command.test:\n"
            "            self._journal(order)\n"
            "        try:\n"
            "            self._send(order)\n"
            "        finally:"
        ),
        (
            "        try:\n"
            "            self._send(order)\n"
            "            if not command.test:\n"
            "                self._journal(order)\n"
            "        finally:"
        ),
        ("tests/venue/test_journal.py",),
    ),
    Bug(
        "cancel_journalled_after_the_first_byte",
        "orders",
        "A cancel or amend is journalled after it was sent",
        "one is sent that the library says was refused, and after a crash nobody knows of it",
        "connector/venue/orders.py",
        (
            "        self._journal(order)\n"
            "        try:\n"
            "            self._send(order)\n"
            "        finally:\n"
            "            self._begin_diary(order)\n"
            "\n"
            "    def _require_known"
        ),
        (
            "        try:\n"
            "            self._send(order)\n"
            "            self._journal(order)\n"
            "        finally:\n"
            "            self._begin_diary(order)\n"
            "\n"
            "    def _require_known"
        ),
        ("tests/venue/test_journal.py",),
    ),
    Bug(
        "answer_about_another_order_believed",
        "orders",
        "An answer is taken for the order it was asked about, whichever it names",
        "one order's fill is booked on another",
        "connector/venue/orders.py",
        "    if report.client_id != order.client_id:\n        raise WireFormatError(",
        "    if not report.client_id:\n        raise WireFormatError(",
        ("tests/venue/test_orders_deterministic.py",),
    ),
    Bug(
        "orders_of_an_earlier_process_forgotten",
        "orders",
        "What a crashed process left without an answer is not taken up",
        "orders of before the crash stay unknown for ever",
        "connector/venue/orders.py",
        "        left = [record for record in trading.store.open_orders() if self._is_left(record)]",
        "        left = [record for record in () if self._is_left(record)]",
        ("tests/venue/test_journal.py",),
    ),
    Bug(
        "orders_of_other_programs_touched",
        "orders",
        "Orders seen at the venue that are not ours can be cancelled",
        "one strategy cancels another's orders",
        "connector/venue/orders.py",
        "        if record is None or record.intent is None or record.symbol != command.symbol:",
        "        if record is None or record.symbol != command.symbol:",
        ("tests/venue/test_journal.py",),
    ),
    Bug(
        "circuit_never_opens",
        "orders",
        "Lost answers do not count as trouble of the venue",
        "every order goes into a dead venue and becomes unknown",
        "connector/venue/health.py",
        "_FAILED = (LinkError, NotConnected, OutcomeUnknown, VenueUnavailable)",
        "_FAILED = (LinkError, NotConnected, VenueUnavailable)",
        ("tests/venue/test_health.py",),
    ),
    Bug(
        "refusals_open_the_circuit",
        "orders",
        "A refusal counts as trouble of the venue",
        "five orders refused for want of funds stop all trading",
        "connector/venue/health.py",
        "    if error is None or isinstance(error, _ANSWERED):\n        return Word.ANSWERED",
        (
            "    if error is None:\n"
            "        return Word.ANSWERED\n"
            "    if isinstance(error, Rejected):\n"
            "        return Word.FAILED"
        ),
        ("tests/venue/test_health.py",),
    ),
    Bug(
        "event_told_twice_after_a_restart",
        "orders",
        "What was told before an actor's restart is told again after it",
        "an engine books a fill twice",
        "connector/venue/order_events.py",
        "                    if key in self._fills_told:\n                        continue",
        "                    if key in self._payments_told:\n                        continue",
        ("tests/venue/test_account_events.py", "tests/venue/test_account_deterministic.py"),
    ),
    Bug(
        "event_lost_in_a_restart",
        "orders",
        "An event is taken off the list before it was handed over",
        "a crash in between hides a fill from the engine",
        "connector/venue/order_events.py",
        "            number, event = self._outbox[0]\n",
        "            number, event = self._outbox.popleft()\n",
        ("tests/venue/test_account_events.py", "tests/venue/test_account_deterministic.py"),
    ),
    Bug(
        "fill_of_a_later_known_order_not_booked",
        "orders",
        "A fill that came before its order was known is forgotten once it is",
        "the position is larger than the engine believes",
        "connector/venue/account.py",
        "            del self.parked[fill.key]\n            more += self._take_fill(fill, source, True).events",
        "            del self.parked[fill.key]",
        ("tests/venue/test_account.py", "tests/venue/test_account_deterministic.py"),
    ),
    Bug(
        "late_answer_overwrites_a_newer_position",
        "orders",
        "The answer to a question replaces what the stream told of a position since",
        "a position that was closed comes back on paper",
        "connector/venue/positions.py",
        "                if over is None and _is_older(position, known, as_of_ns):\n                    continue",
        "                if over is None and position.received_ns < known.received_ns:\n                    continue",
        ("tests/venue/test_positions.py",),
    ),
    Bug(
        "funding_told_twice",
        "orders",
        "A payment the stream told is told again by the list",
        "funding is booked twice",
        "connector/venue/positions.py",
        "        is_untold = key not in self._told and not self._is_twin(key, payment)",
        "        is_untold = key not in self._told",
        ("tests/venue/test_positions.py", "tests/venue/test_positions_deterministic.py"),
    ),
    Bug(
        "amend_past_the_risk_hooks",
        "orders",
        "Hooks are asked about new orders only",
        "an order is made ten times larger by an amend, past every limit",
        "connector/orders/risk.py",
        "    if isinstance(command, PlaceOrder | AmendOrder):\n        for hook in hooks:",
        "    if isinstance(command, PlaceOrder):\n        for hook in hooks:",
        ("tests/orders/test_risk.py", "tests/venue/test_amends.py"),
    ),
    Bug(
        "open_orders_left_out_of_the_position_limit",
        "orders",
        "The position limit looks at what is held, not at what is on its way",
        "ten orders at once pass a limit meant for one",
        "connector/orders/risk.py",
        "        reached = total((held if side is Side.BUY else -held, waiting, more))",
        "        reached = total((held if side is Side.BUY else -held, more))",
        ("tests/orders/test_risk.py",),
    ),
    Bug(
        "inverse_contracts_taken_for_coins",
        "orders",
        "What an inverse contract is worth in coins is worked out without the price",
        "positions and limits are wrong by a factor of thousands",
        "connector/domain/contracts.py",
        "    return _EXACT.quantize(_EXACT.divide(worth, price), _PLACES).normalize(_EXACT)\n\n\ndef contracts_for",
        "    return _EXACT.quantize(worth, _PLACES).normalize(_EXACT)\n\n\ndef contracts_for",
        ("tests/domain/test_contracts.py",),
    ),
)

STORE = (
    Bug(
        "fill_stored_and_not_told",
        "store",
        "A fill is stored before it is announced, so that a crash between the two hides it",
        "the position has changed, and the engine is never told",
        "connector/venue/account.py",
        (
            "        if events:\n"
            "            self._announce(events)\n"
            "        self._write(self._hold(changed, before), (changed.client_id,))\n"
            "        for event in events:"
        ),
        (
            "        self._write(self._hold(changed, before), (changed.client_id,))\n"
            "        if events:\n"
            "            self._announce(events)\n"
            "        for event in events:"
        ),
        ("tests/venue/test_account.py",),
    ),
    Bug(
        "no_fsync",
        "store",
        "The journal is not forced to the disk",
        "a power cut forgets orders that were sent",
        "connector/store/sqlite.py",
        'run("PRAGMA synchronous = FULL")',
        'run("PRAGMA synchronous = OFF")',
        ("tests/store/test_sqlite.py",),
    ),
    Bug(
        "half_of_a_transaction_kept",
        "store",
        "A write that fails half-way keeps its first half",
        "an order is in the journal that was never sent, or lacks a part",
        "connector/store/sqlite.py",
        'database.execute("ROLLBACK")',
        'database.execute("COMMIT")',
        ("tests/store/test_sqlite.py", "tests/store/test_store.py"),
    ),
    Bug(
        "damage_read_by_guess",
        "store",
        "Records are read without their checksum being looked at",
        "a flipped bit on the disk becomes a quantity",
        "connector/store/sqlite.py",
        "        if _checksum(key, body) != checksum:",
        "        if not body:",
        ("tests/store/test_sqlite.py",),
    ),
    Bug(
        "migration_skipped",
        "store",
        "An older file is called new without being changed",
        "the first fill after an update cannot be stored",
        "connector/store/sqlite.py",
        "        for statements in _MIGRATIONS[version:]:",
        "        for statements in _MIGRATIONS if is_new else ():",
        ("tests/store/test_old_records.py", "tests/store/test_sqlite.py"),
    ),
    Bug(
        "second_process_let_in",
        "store",
        "Two processes may hold one journal at the same time",
        "both trade one account, each believing that the other's orders are its own",
        "connector/store/sqlite.py",
        'run("PRAGMA locking_mode = EXCLUSIVE")',
        'run("PRAGMA locking_mode = NORMAL")',
        ("tests/store/test_sqlite.py",),
    ),
    Bug(
        "fills_of_both_sides_of_a_trade_are_one",
        "store",
        "Whether a fill is known is judged by its trade id alone",
        "of a trade between two own orders one fill is lost",
        "connector/store/sqlite.py",
        (
            'chosen = "symbol = ? AND trade_id = ? AND side = ?"\n'
            '            found = run(f"SELECT 1 FROM fills WHERE {chosen}", (str(symbol), trade_id, side.value))'
        ),
        (
            'chosen = "symbol = ? AND trade_id = ?"\n'
            '            found = run(f"SELECT 1 FROM fills WHERE {chosen}", (str(symbol), trade_id))'
        ),
        ("tests/store/test_store.py", "tests/store/test_sqlite.py"),
    ),
)

CLOCK = (
    Bug(
        "wall_clock_in_a_timer",
        "clock",
        "Waits are measured by the wall clock",
        "a correction of the clock ends every connection, or stops all timers for an hour",
        "connector/clock/system.py",
        "        return self._monotonic_ns() / 1e9\n",
        "        return self._wall_ns() / 1e9\n",
        ("tests/clock/test_system.py",),
    ),
    Bug(
        "wall_clock_in_an_actor",
        "clock",
        "An actor reads the machine's clock by itself",
        "a correction of the clock moves its deadlines, and no simulated test can see it",
        "connector/throttle/connects.py",
        "        with self._lock:\n            host = None if who is None else self._hosts.get(who.host)\n            if who",
        (
            "        import time\n"
            "\n"
            "        now_s = time.time()\n"
            "        with self._lock:\n"
            "            host = None if who is None else self._hosts.get(who.host)\n            if who"
        ),
        ("tests/test_ports.py",),
    ),
    Bug(
        "offset_with_the_wrong_sign",
        "clock",
        "The venue's offset is taken off instead of added",
        "every signed request is refused as late or early",
        "connector/clock/offset.py",
        "        return now_ns + known.offset_ns\n",
        "        return now_ns - known.offset_ns\n",
        ("tests/clock/test_offset.py",),
    ),
    Bug(
        "stale_offset_used",
        "clock",
        "An offset measured long ago is used for signing",
        "orders are refused for their time, or taken later than they may",
        "connector/clock/offset.py",
        (
            "        if known is None or now_ns - known.sampled_ns > self._max_age_ns:\n"
            "            return None\n"
            "        return now_ns"
        ),
        "        if known is None:\n            return None\n        return now_ns",
        ("tests/clock/test_offset.py",),
    ),
    Bug(
        "time_stamps_follow_the_wall_clock",
        "clock",
        "Time stamps jump when the wall clock is set",
        "events are out of order, and the age of data is negative",
        "connector/clock/system.py",
        "        if not step:\n            self._anchor_ns",
        "        if step:\n            self._anchor_ns += step\n        else:\n            self._anchor_ns",
        ("tests/clock/test_system.py",),
    ),
)

SECRETS = (
    Bug(
        "secret_in_a_repr",
        "secrets",
        "The repr of credentials shows the secret",
        "it stands in the first traceback of the program's log",
        "connector/domain/credentials.py",
        "        return f\"<Credentials {kind} key=…{self.key[-4:] if len(self.key) > 8 else ''}>\"",
        "        return f\"<Credentials {kind} key={self.key} {self._reveal('secret')}>\"",
        ("tests/test_canaries.py",),
    ),
    Bug(
        "signed_url_in_an_error",
        "secrets",
        "An error of the HTTP library is quoted with the URL in it",
        "key and signature stand in the log of every timeout",
        "connector/transport/http.py",
        "            problem = _root_words(failure)\n            worker.drop(request)",
        '            problem = f"{_root_words(failure)} at {request.target}"\n            worker.drop(request)',
        ("tests/transport/test_http.py", "tests/test_canaries.py"),
    ),
    Bug(
        "secret_in_a_log",
        "secrets",
        "Fields of a log record are written as they are",
        "a secret bound to a record stands in the log",
        "connector/telemetry/logging.py",
        '        extra = {name: redact_value(value, name) for name, value in record["extra"].items()}',
        '        extra = dict(record["extra"])',
        ("tests/telemetry/test_logging.py",),
    ),
    Bug(
        "locals_in_a_logged_traceback",
        "secrets",
        "Exceptions reach other sinks as they are",
        "a sink that shows local variables writes the secret down",
        "connector/telemetry/logging.py",
        '    record["message"], record["exception"] = message, None',
        '    record["message"] = message',
        ("tests/telemetry/test_logging.py", "tests/test_canaries.py"),
    ),
    Bug(
        "encoded_secret_shown",
        "secrets",
        "A registered secret is hidden as it is, and not percent-encoded",
        "it can be read out of a logged URL",
        "connector/telemetry/redaction.py",
        '        quote(secret, safe=""),\n        quote_plus(secret),\n',
        "",
        ("tests/telemetry/test_redaction.py",),
    ),
)

HISTORY = (
    Bug(
        "page_boundary_doubled",
        "history",
        "A page begins with the last row of the one before",
        "a backtest sees candles twice",
        "connector/history/plan.py",
        "        self.first = window.last + 1\n        return window",
        "        self.first = max(window.last, first + 1)\n        return window",
        ("tests/history/test_plan.py",),
    ),
    Bug(
        "gap_in_a_history_hidden",
        "history",
        "What the venue does not have is not named",
        "a backtest takes an outage for a quiet market",
        "connector/history/plan.py",
        "    elif (gap := steps.trimmed(asked)) is not None:\n        insort(gaps, gap)",
        "    elif (gap := steps.trimmed(asked)) is None:\n        gaps.clear()",
        ("tests/history/test_plan.py",),
    ),
    Bug(
        "short_page_taken_for_the_truth",
        "history",
        "What is missing in an answer is not asked for again",
        "a page cut short by the venue leaves a hole",
        "connector/history/plan.py",
        "        for hole in _missing(steps, asked, [key(row) for row in rows]):\n            insort(left, hole)",
        "        left += ()",
        ("tests/history/test_plan.py",),
    ),
    Bug(
        "rows_after_the_checkpoint_kept",
        "history",
        "What was written after the last checkpoint stays when a download goes on",
        "a killed download leaves rows twice in the file",
        "connector/history/sinks.py",
        "            file.truncate(found.held)\n            file.seek(found.held)",
        "            file.seek(0, os.SEEK_END)",
        ("tests/history/test_sinks.py", "tests/history/test_kill.py"),
    ),
    Bug(
        "checkpoint_before_the_rows",
        "history",
        "The checkpoint is written before the rows are on the disk",
        "after a power cut a file lacks what its checkpoint promises",
        "connector/history/sinks.py",
        "        self._pages = 0\n        _to_disk(self._file)\n",
        "        self._pages = 0\n        self._file.flush()\n",
        ("tests/history/test_sinks.py",),
    ),
)

AGGREGATE = (
    Bug(
        "stale_venue_stays_in",
        "across venues",
        "A venue whose book may be wrong stays in the consolidated one",
        "orders are routed to prices that are not there",
        "connector/aggregate/book.py",
        (
            "        side.is_valid, side.update_id, side.received_ns, side.bid, side.ask = False, "
            "None, None, None, None\n"
        ),
        "        side.update_id = None\n",
        ("tests/aggregate/test_book.py",),
    ),
    Bug(
        "venue_without_a_rate_stays_in",
        "across venues",
        "A venue priced in another asset stays in when the rate is not known any more",
        "prices are compared at an old rate",
        "connector/aggregate/book.py",
        "        told = self._sides[rate.key]\n        if not told.is_valid:",
        "        told = self._sides[rate.key]\n        if told.bid is None and told.ask is None and told.is_valid:",
        ("tests/aggregate/test_book.py",),
    ),
    Bug(
        "best_ask_is_the_highest",
        "across venues",
        "The best ask over several venues is the highest one",
        "an engine buys where it is dearest",
        "connector/aggregate/quotes.py",
        "    return _side(there, min(level.price for level in there)) if there else None",
        "    return _side(there, max(level.price for level in there)) if there else None",
        ("tests/aggregate/test_book.py",),
    ),
)

ISOLATION = (
    Bug(
        "hung_process_left_alone",
        "isolation",
        "A venue's process that says nothing any more is not ended",
        "orders and data of that venue stand still for good",
        "connector/isolation/host.py",
        "        if silent_s > self._hung_after_s:",
        "        if silent_s > 3_600.0:",
        ("tests/isolation/test_process.py::test_a_process_that_stands_still_is_stale_then_killed_and_replaced",),
    ),
    Bug(
        "silent_process_counts_as_fresh",
        "isolation",
        "Data of a process nothing is heard of keeps counting as fresh",
        "an engine trades on prices of a process that is stopped",
        "connector/isolation/host.py",
        "            for feed in life.topics.values():\n                feed.falls_silent(",
        "            for feed in ():\n                feed.falls_silent(",
        ("tests/isolation/test_process.py::test_a_process_that_stands_still_is_stale_then_killed_and_replaced",),
    ),
    Bug(
        "crash_of_a_process_leaves_data_live",
        "isolation",
        "When a venue's process ends, what came from it stays live",
        "prices of a dead process are handed out as fresh until the next one is up",
        "connector/isolation/host.py",
        '            feed.on_disconnected(f"the venue\'s process ended: {reason}")\n        life.process.end()',
        "            feed.epoch = self.context.epoch\n        life.process.end()",
        (
            "tests/isolation/test_process.py::test_what_came_from_a_killed_process_is_stale_at_once_however_long_the_next_one_waits",
        ),
    ),
    Bug(
        "values_dropped_between_processes_not_told",
        "isolation",
        "Values an engine's process was too slow for are dropped without a word",
        "the tape has holes nobody knows of",
        "connector/isolation/outlet.py",
        "        followed.lost += 1\n        return False",
        "        return False",
        ("tests/isolation/test_mirrors.py",),
    ),
)

DRIVERS = (
    Bug(
        "signed_parameters_in_the_wrong_order",
        "drivers",
        "Binance's WebSocket API parameters are signed in the order they are written in",
        "every order over the session is refused",
        "connector/drivers/binance/signing.py",
        "for name, value in sorted(params.items())",
        "for name, value in params.items()",
        ("tests/drivers/test_binance_signing.py",),
    ),
    Bug(
        "bybit_signs_the_wrong_order",
        "drivers",
        "Bybit's payload is signed with the key before the time",
        "every signed request is refused",
        "connector/drivers/bybit/signing.py",
        '    return f"{now_ms}{auth.key}{recv_window_ms}{payload}"',
        '    return f"{auth.key}{now_ms}{recv_window_ms}{payload}"',
        ("tests/drivers/test_bybit_signing.py",),
    ),
    Bug(
        "taker_side_turned_round",
        "drivers",
        'Binance\'s "buyer is the maker" is read as "the taker bought"',
        "every flow signal has the wrong sign",
        "connector/drivers/binance/streams.py",
        "            side = _SELL if data.m else _BUY  # m: the buyer was the maker, so the taker sold",
        "            side = _BUY if data.m else _SELL",
        ("tests/drivers/test_binance_streams.py",),
    ),
    Bug(
        "binance_cancel_named_by_its_own_id",
        "drivers",
        "A Binance cancel is booked under the cancel's id instead of the order's",
        "the order seems open for ever",
        "connector/drivers/binance/reports.py",
        '    client_id = (event.C or event.c) if event.x == "CANCELED" else event.c',
        "    client_id = event.c",
        (
            "tests/drivers/test_binance_session.py",
            "tests/drivers/test_binance_trading.py",
            "tests/drivers/test_binance_orders.py",
        ),
    ),
    Bug(
        "binance_last_fill_taken_for_the_sum",
        "drivers",
        "An execution report's last quantity is read as all that was filled",
        "an order of several fills looks less filled than it is",
        "connector/drivers/binance/reports.py",
        "        filled=event.z,\n",
        "        filled=event.l,\n",
        ("tests/drivers/test_binance_session.py", "tests/drivers/test_binance_trading.py"),
    ),
    Bug(
        "futures_liquidation_taken_for_a_trade",
        "drivers",
        "A fill the venue forced on Binance futures looks like an ordinary one",
        "an engine does not learn that it was liquidated",
        "connector/drivers/binance/futures/reports.py",
        "    return FillKind.LIQUIDATION if execution == _LIQUIDATION else FillKind.TRADE",
        "    return FillKind.TRADE",
        (
            "tests/drivers/test_binance_futures_session.py",
            "tests/drivers/test_binance_futures_trading.py",
            "tests/drivers/test_binance_futures_lives.py",
        ),
    ),
    Bug(
        "futures_sequence_fields_mixed_up",
        "drivers",
        "Of a futures depth update the first id is read as the one before",
        "every book of that market resyncs for ever",
        "connector/drivers/binance/futures/streams.py",
        "            return BookDelta(venue, symbol, at_ns, received_ns, first, last, data.b, data.a, data.pu)",
        "            return BookDelta(venue, symbol, at_ns, received_ns, first, last, data.b, data.a, data.U)",
        ("tests/drivers/test_binance_futures_streams.py", "tests/drivers/test_binance_futures_books.py"),
    ),
    Bug(
        "futures_funding_counted_twice",
        "drivers",
        "The event and the history name a funding payment differently",
        "funding is booked twice",
        "connector/drivers/binance/futures/reports.py",
        '    return f"{asset}:{time_ms // 3_600_000}:{amount.normalize():f}"',
        '    return f"{asset}:{time_ms}:{amount.normalize():f}"',
        (
            "tests/drivers/test_binance_futures_lives.py",
            "tests/drivers/test_binance_futures_session.py",
            "tests/drivers/test_binance_futures_trading.py",
        ),
    ),
    Bug(
        "coinm_contracts_taken_for_base_units",
        "drivers",
        "Quantities of COIN-M contracts are told as base units",
        "positions are wrong by a factor of hundreds",
        "connector/drivers/binance/futures/reports.py",
        "            quantity=base(instrument, counted, price),\n            fee=wire.ZERO if order.n is None",
        "            quantity=counted,\n            fee=wire.ZERO if order.n is None",
        (
            "tests/drivers/test_binance_futures_session.py",
            "tests/drivers/test_binance_futures_lives.py",
            "tests/drivers/test_binance_futures_conformance.py",
        ),
    ),
    Bug(
        "coinm_rounding_takes_levels_away",
        "drivers",
        "A COIN-M amount that rounds to nothing in base units is told as nothing",
        "a level of the book is removed that is there, and trades of no size are told",
        "connector/drivers/binance/futures/sizes.py",
        "    if counted and not units:",
        "    if counted and units is None:",
        ("tests/drivers/test_binance_futures_streams.py",),
    ),
    Bug(
        "bybit_sequence_fields_mixed_up",
        "drivers",
        "Bybit's cross sequence is read as the update's number",
        "each update of a book looks like a gap, and no book is ever valid",
        "connector/drivers/bybit/streams.py",
        "            return BookDelta(venue, symbol, at_ns, received_ns, data.u, data.u, *changes)",
        "            return BookDelta(venue, symbol, at_ns, received_ns, data.seq, data.seq, *changes)",
        ("tests/drivers/test_bybit_streams.py",),
    ),
    Bug(
        "bybit_partly_filled_cancel_taken_for_a_reject",
        "drivers",
        "A post-only order of Bybit that was partly filled counts as rejected",
        "its fills belong to an order that is said never to have been",
        "connector/drivers/bybit/reports.py",
        "    if reason == _POST_ONLY:\n        return OrderStatus.CANCELED if filled else OrderStatus.REJECTED",
        "    if reason == _POST_ONLY:\n        return OrderStatus.REJECTED",
        ("tests/drivers/test_bybit_orders.py", "tests/drivers/test_bybit_trading.py"),
    ),
    Bug(
        "bybit_rebate_in_the_wrong_asset",
        "drivers",
        "A maker's rebate on Bybit spot is booked in the asset that is received",
        "balances and fees do not agree",
        "connector/drivers/bybit/reports.py",
        "    in_base = (side is Side.BUY) is not (fee < 0 and bool(row.is_maker))",
        "    in_base = side is Side.BUY",
        (
            "tests/drivers/test_bybit_orders.py",
            "tests/drivers/test_bybit_trading.py",
            "tests/drivers/test_bybit_session.py",
        ),
    ),
    Bug(
        "bybit_short_position_told_as_long",
        "drivers",
        "The side of a Bybit position is not looked at",
        "a hedge doubles the risk",
        "connector/drivers/bybit/reports.py",
        "        signed = size if _side(kind, row.side) is Side.BUY else size.copy_negate()",
        "        signed = size",
        ("tests/drivers/test_bybit_positions.py",),
    ),
    Bug(
        "bybit_trigger_direction_turned_round",
        "drivers",
        "A stop order on Bybit waits for the price to go the other way",
        "a stop loss goes off at once, or never",
        "connector/drivers/bybit/orders.py",
        "_RISES if (order.side is Side.BUY) is kind.stops else _FALLS",
        "_FALLS if (order.side is Side.BUY) is kind.stops else _RISES",
        ("tests/drivers/test_bybit_orders.py", "tests/drivers/test_bybit_trading.py"),
    ),
    Bug(
        "bybit_funding_with_the_wrong_sign",
        "drivers",
        "Funding in Bybit's list of executions is booked as received",
        "what is paid every eight hours looks like income",
        "connector/drivers/bybit/reports.py",
        "    received = paid.copy_negate() if paid else wire.ZERO",
        "    received = paid",
        ("tests/drivers/test_bybit_session.py",),
    ),
    Bug(
        "bybit_market_order_without_its_unit",
        "drivers",
        "A Bybit market order by quote quantity does not say so",
        "a thousand dollars' worth becomes a thousand coins",
        "connector/drivers/bybit/orders.py",
        '        return {"marketUnit": "quoteCoin", "qty":',
        '        return {"marketUnit": "baseCoin", "qty":',
        ("tests/drivers/test_bybit_orders.py", "tests/drivers/test_bybit_trading.py"),
    ),
    Bug(
        "bybit_restarted_count_keeps_old_prices",
        "drivers",
        "After a restart of Bybit's service best prices count as old",
        "the best price stands still until the new count has passed the old one",
        "connector/drivers/bybit/streams.py",
        "                self._counted_before += self._update_id\n",
        "                self._counted_before += 0\n",
        ("tests/drivers/test_bybit_streams.py",),
    ),
)

SIMULATOR = (
    Bug(
        "simulator_believes_any_signature",
        "simulator",
        "The simulated exchange takes requests whose signature is wrong",
        "our own signing may break, and every test against it stays green",
        "connector/simulator/keys.py",
        "        return self._check(payload, signature)",
        "        return bool(signature)",
        ("tests/simulator/test_signing.py",),
    ),
    Bug(
        "simulator_takes_late_requests",
        "simulator",
        "The simulated exchange does not look at how old a request is",
        "orders may be proven dead too early, and no test sees it",
        "connector/simulator/dialects/binance_spot/trading.py",
        "        if now_us - at_us > window_us:",
        "        if at_us < 0 < window_us:",
        ("tests/simulator/test_signing.py",),
    ),
    Bug(
        "simulator_trades_the_younger_order_first",
        "simulator",
        "Of two orders at one price the younger one trades first",
        "queue positions in simulations and on paper are wrong",
        "connector/matching/engine.py",
        "                maker = next(iter(level.orders.values()))",
        "                maker = next(reversed(level.orders.values()))",
        ("tests/matching/test_engine.py",),
    ),
    Bug(
        "simulator_trades_at_the_takers_price",
        "simulator",
        "Trades happen at the price of the order that came last",
        "simulated results are worse, or better, than any exchange's",
        "connector/matching/engine.py",
        "fills.append(Fill(self._next_trade_id, maker.price, size,",
        "fills.append(Fill(self._next_trade_id, taker.price or maker.price, size,",
        ("tests/matching/test_engine.py",),
    ),
)

BUGS: tuple[Bug, ...] = (
    *SUPERVISION,
    *STREAM,
    *BOOKS,
    *REST,
    *ORDERS,
    *STORE,
    *CLOCK,
    *SECRETS,
    *HISTORY,
    *AGGREGATE,
    *ISOLATION,
    *DRIVERS,
    *SIMULATOR,
)
