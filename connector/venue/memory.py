"""What a venue remembers while its actors come and go: wanted topics, last values, instruments, budgets, counters.

Plain data behind small locks, made once per venue and handed to every incarnation of its actors. It starts no thread, sends
nothing and decides nothing. Each part has one writer, named beside it; anybody may read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from connector.clock import Clock, ClockOffset
from connector.domain.instruments import InstrumentTable
from connector.domain.topics import Topic, TopicKind
from connector.drivers.contract import Driver, Hosts, VenueInfo
from connector.errors import Unsupported
from connector.telemetry import Counters, OncePerKind
from connector.throttle import ConnectBudget, Ledger
from connector.transport.contract import Link, LinkSettings
from connector.venue.book_feed import BookFeed
from connector.venue.continuity import continuity_of
from connector.venue.feed import Feed
from connector.venue.health import Health
from connector.venue.settings import VenueSettings
from connector.venue.wall import WallWatch

if TYPE_CHECKING:
    from connector.venue.trading import Trading

__all__ = ["VenueMemory", "hosts_of"]


class VenueMemory:
    """Shared by the actors of one venue and the front.

    Attributes:
        instruments, instruments_s: the list and when it came (monotonic); None before the first. Writer: state actor.
        ledger, connects: request budget and connection budget; they lock by themselves.
        offset: the venue's clock against ours; fed by REST workers through `add_clock_sample`.
        health: circuits for reads, orders and cancels; told by whoever hears how a call went.
        trading: of the account; None without credentials. Set once, before the actors start.
        changes: rises whenever consumers come or go, so that a lost message costs a tick and no topic.
        on_wish: where feeds send their wishes; set by each incarnation of the stream actor.
    """

    def __init__(
        self,
        settings: VenueSettings,
        driver: Driver,
        hosts: Hosts,
        clock: Clock,
        *,
        ledger: Ledger,
        connects: ConnectBudget,
        offset: ClockOffset,
        offset_lock: threading.Lock,
        counters: Counters,
        alarms: OncePerKind,
        wall: WallWatch | None = None,
    ) -> None:
        self.settings, self.driver, self.clock = settings, driver, clock
        self.name = settings.name
        self.wall = wall or WallWatch(clock)
        self.hosts = hosts
        self.ledger, self.connects, self.offset, self.counters, self.alarms = ledger, connects, offset, counters, alarms
        self.health = Health(clock, counters)
        self.trading: Trading | None = None
        self._offset_lock = offset_lock  # the offset is shared by all venues behind the same hosts
        self.instruments: InstrumentTable | None = None
        self.instruments_s: float | None = None
        self.changes = 0
        self.closed = False
        self.on_wish: Callable[[Any], None] = lambda wish: None
        self._listed = threading.Event()
        self._lock = threading.Lock()  # guards the three below; nothing is called while it is held
        self._feeds: dict[str, Feed] = {}
        self._by_topic: dict[Topic, str] = {}
        self._links: dict[Link, None] = {}  # in the order they were opened

    # ------------------------------------------------------------ feeds (writers: engine threads, under the lock)

    def feed(self, topic: Topic) -> Feed:
        """The feed of a topic, made on first use.

        Raises:
            UnknownSymbol: the instrument list is there and does not hold it.
            InvalidRequest, Unsupported: the venue has no such stream.
        """
        if self.instruments is not None:
            self.instruments.require(topic.symbol)
        name = self.driver.streams.name(topic)
        with self._lock:
            feed = self._feeds.get(name)
            if feed is None:
                feed = self._make_feed(topic)
                self._feeds = {**self._feeds, name: feed}
                self._by_topic[feed.topic] = name
            self._by_topic[topic] = name
            return feed

    def _make_feed(self, topic: Topic) -> Feed:
        rule = self.driver.book_rule
        if topic.kind is TopicKind.BOOK:
            if rule is None:
                raise Unsupported(f"{self.driver.name} has no stream of full books; see the capability table.")
            return BookFeed(
                self.name, topic, self.clock, rule, ask=self._wish, counters=self.counters, alarms=self.alarms
            )
        return Feed(
            self.name,
            topic,
            self.clock,
            ask=self._wish,
            counters=self.counters,
            alarms=self.alarms,
            backfill=self.settings.backfill,
            rule=continuity_of(self.driver, topic.kind),
        )

    def close(self) -> None:
        """The connector stops: subscriptions end, and later ones are refused."""
        self.closed = True
        for feed in self.feeds():
            for consumer in feed.consumers:
                consumer.close()

    def note_change(self) -> None:
        """A topic got its first consumer or lost its last."""
        self.changes += 1

    def _wish(self, wish: Any) -> None:
        self.on_wish(wish)

    def feed_table(self) -> dict[str, Feed]:
        """Venue name of a topic to its feed; the mapping is never changed, only replaced."""
        return self._feeds

    def feeds(self) -> tuple[Feed, ...]:
        return tuple(self._feeds.values())

    def name_of(self, topic: Topic) -> str | None:
        return self._by_topic.get(topic)

    def find_feed(self, topic: Topic) -> Feed | None:
        name = self.name_of(topic)
        return None if name is None else self._feeds.get(name)

    # ------------------------------------------------------------ links (writer: stream actor)

    def link_settings(self, url: str, label: str) -> LinkSettings:
        """How a connection of this venue's stream actor is made."""
        settings = self.settings
        return LinkSettings(
            url=url,
            name=f"{self.name}/stream/{label}",
            proxy=settings.proxy,
            tls=settings.tls,
            idle_timeout_s=settings.idle_timeout_s,
            ping_every_s=settings.ping_every_s,
            connect_timeout_s=settings.connect_timeout_s,
            upgrade_timeout_s=settings.upgrade_timeout_s,
            max_message_bytes=settings.max_message_bytes,
        )

    def keep_link(self, link: Link) -> None:
        with self._lock:
            self._links[link] = None

    def drop_link(self, link: Link) -> None:
        with self._lock:
            self._links.pop(link, None)

    def end_links(self) -> None:
        """Shut down every link there is, so that no reader of an earlier incarnation goes on. Any thread."""
        with self._lock:
            links, self._links = self._links, {}
        for link in links:
            link.shutdown()

    def wait_links_gone(self, links: tuple[Link, ...], timeout_s: float) -> bool:
        """Whether the reader threads of these links are gone within `timeout_s` each."""
        return all(link.join(timeout_s) for link in links)

    # ------------------------------------------------------------ what the venue told

    def publish(self, info: VenueInfo, now_s: float) -> None:
        self.instruments, self.instruments_s = info.instruments.called(self.name).after(self.instruments), now_s
        self._listed.set()
        if info.limits:
            self.ledger.apply_limits(info.limits)

    def wait_instruments(self, timeout_s: float) -> bool:
        return self._listed.wait(timeout_s)

    def add_clock_sample(self, sent_ns: int, received_ns: int, server_ns: int) -> None:
        with self._offset_lock:
            self.offset.add(sent_ns, received_ns, server_ns)

    def forget_clock(self) -> None:
        with self._offset_lock:
            self.offset.invalidate()

    def __repr__(self) -> str:
        listed = "none" if self.instruments is None else str(len(self.instruments))
        return f"<VenueMemory {self.name} topics={len(self._feeds)} instruments={listed} links={len(self._links)}>"


def hosts_of(settings: VenueSettings, driver: Driver) -> Hosts:
    """Where a venue is reached.

    Raises:
        Unsupported: the exchange has no such environment.
    """
    if settings.rest_url is not None and settings.stream_url is not None:
        return Hosts(
            rest=settings.rest_url.rstrip("/"),
            public_stream=settings.stream_url.rstrip("/"),
            session=(settings.session_url or "").rstrip("/"),
        )
    hosts = driver.hosts.get(settings.environment)
    if hosts is None:
        offered = ", ".join(sorted(environment.value for environment in driver.hosts))
        raise Unsupported(f"{driver.name} has no {settings.environment.value} environment; it offers {offered}.")
    return hosts
