"""Market streams: names and frames out, routing, frames and control frames in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from connector.domain.instruments import InstrumentTable
from connector.domain.market import MarketEvent
from connector.domain.topics import Topic
from connector.drivers.contract import Ack, ConnectionEnding, Noise, Refusal
from connector.errors import InvalidRequest, Unsupported, WireFormatError
from connector.testing import spoiling
from connector.testing.driver_checks.base import GARBAGE, Checks, excerpt, impossible, raises, spoilt_ways
from connector.testing.driver_facts import RECEIVED_NS, StreamSample

__all__ = ["StreamChecks"]


class StreamChecks(Checks):
    """See `driver_suite`."""

    # ---------------------------------------------------------------- streams out

    def test_every_topic_has_the_documented_name(self) -> None:
        for sample in self.facts.streams:
            assert self.driver.streams.name(sample.topic) == sample.name, f"{sample.topic}"

    def test_topics_the_venue_does_not_have_are_refused_before_anything_is_sent(self, table: InstrumentTable) -> None:
        for topic in self.facts.refused_topics:
            problem = raises((InvalidRequest, Unsupported), self.driver.streams.name, topic)
            assert not problem, f"name({topic}): {problem}"
            reader = raises((InvalidRequest, Unsupported), self.driver.streams.reader, topic, self.facts.instrument)
            assert not reader, f"reader({topic}): {reader}"

    def test_every_topic_is_in_its_group(self) -> None:
        for sample in self.facts.streams:
            assert self.driver.streams.group(sample.topic) == sample.group, f"{sample.topic}"

    def test_every_group_has_an_address_of_its_own_under_the_public_root(self) -> None:
        groups = {sample.group for sample in self.facts.streams}
        for environment, hosts in self.driver.hosts.items():
            urls = [self.driver.streams.url(hosts, group) for group in groups]
            assert all(url.startswith(hosts.public_stream) for url in urls), f"{environment.value}: {urls}"
            assert len(set(urls)) == len(groups)

    def test_no_two_topics_of_the_list_share_a_name(self, table: InstrumentTable) -> None:
        names: dict[tuple[str, str], Topic] = {}
        for symbol in table:
            for sample in self.facts.streams:
                topic = msgspec.structs.replace(sample.topic, symbol=symbol)
                try:
                    name = self.driver.streams.group(topic), self.driver.streams.name(topic)
                except (InvalidRequest, Unsupported):
                    continue  # e.g. no mark price on spot
                assert names.setdefault(name, topic) == topic, f"{name[1]!r} is {names[name]} and {topic}"

    def test_the_subscribe_frame_is_the_documented_one(self) -> None:
        names, request_id, frame = self.facts.subscribed
        assert self.driver.streams.subscribe(names, request_id) == frame

    def test_the_unsubscribe_frame_is_the_documented_one(self) -> None:
        names, request_id, frame = self.facts.unsubscribed
        assert self.driver.streams.unsubscribe(names, request_id) == frame

    def test_subscribing_again_differs_by_nothing_but_the_request(self) -> None:
        names, request_id, frame = self.facts.subscribed
        again = self.driver.streams.subscribe(names, request_id + 100)
        assert self.driver.streams.subscribe(names, request_id) == frame, "a frame depends on what was asked before"
        assert again.replace(str(request_id + 100).encode(), str(request_id).encode()) == frame

    def test_a_full_frame_names_every_topic_once(self) -> None:
        count = self.driver.streams.limits.names_per_frame
        names = [f"{self.facts.streams[0].name}{number:05d}" for number in range(min(count, 300))]
        frame = self.driver.streams.subscribe(names, 1)
        assert all(frame.count(name.encode()) == 1 for name in names)

    # ---------------------------------------------------------------- streams in

    def test_every_frame_is_routed_to_its_topic(self) -> None:
        for sample in self.facts.streams:
            for frame in sample.frames:
                assert self.driver.streams.route(frame) == sample.name.encode(), f"{sample.topic}: {excerpt(frame)}"

    def test_a_frame_in_other_spacing_is_routed_the_same_or_told_as_noise(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            loose = msgspec.json.format(sample.frames[0], indent=2)
            routed = self.driver.streams.route(loose)
            assert routed in (sample.name.encode(), None), f"{sample.topic}: {routed!r}"
            if routed is None:
                said = self.driver.streams.control(loose)
                assert isinstance(said, Noise) and not said.known, f"{sample.topic}: data told as {said}"

    def test_control_frames_are_of_no_topic(self) -> None:
        for frame in self._control_frames():
            assert self.driver.streams.route(frame) is None, excerpt(frame)

    def test_routing_never_raises_whatever_the_bytes(self) -> None:
        for number, frame in enumerate((*self._data_frames(), *self._control_frames())):
            for spoilt in (*spoilt_ways(frame, number), *GARBAGE):
                routed = self.driver.streams.route(spoilt)
                assert routed is None or isinstance(routed, bytes), excerpt(spoilt)

    def test_every_frame_reads_as_documented(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            assert tuple(self.read_stream(sample, table)) == sample.events, f"{sample.topic}"

    def test_a_reader_keeps_nothing_of_another_connection(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            first = self.driver.streams.reader(sample.topic, table.require(sample.topic.symbol))
            for frame in sample.frames:
                first(frame, RECEIVED_NS)
            assert tuple(self.read_stream(sample, table)) == sample.events, (
                f"{sample.topic}: read otherwise the second time"
            )

    def test_events_carry_our_time_of_reading_and_a_time_of_the_venues_or_none(self, table: InstrumentTable) -> None:
        year_ns = 366 * 86_400 * 10**9
        for sample in self.facts.streams:
            for event in self.read_stream(sample, table):
                assert event.received_ns == RECEIVED_NS
                told = event.event_time_ns
                assert told is None or abs(told - RECEIVED_NS) < 20 * year_ns, (
                    f"{sample.topic}: {told} is no nanosecond"
                )

    def test_unknown_fields_in_frames_change_nothing(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            for number, frame in enumerate(sample.frames):
                for where, more in spoiling.with_unknown_fields(frame):
                    frames = [*sample.frames[:number], more, *sample.frames[number + 1 :]]
                    assert self.driver.streams.route(more) == sample.name.encode(), f"{sample.topic}: in {where}"
                    assert tuple(self.read_stream(sample, table, frames)) == sample.events, (
                        f"{sample.topic}: in {where}"
                    )

    def test_frames_keep_every_digit(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            for number, frame in enumerate(sample.frames):
                for where, digits, longer in spoiling.lengthened(frame):
                    frames = [*sample.frames[:number], longer, *sample.frames[number + 1 :]]
                    found = self._frames_read(sample, table, frames)
                    problem = "" if found is None else self.inexact(tuple(found), sample.events, digits)
                    assert not problem, f"{sample.topic}: {where}: {problem}"

    def test_frames_with_numbers_that_are_none_are_refused(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            for number, frame in enumerate(sample.frames):
                for where, spoilt in spoiling.unnumbered(frame):
                    frames = [*sample.frames[:number], spoilt, *sample.frames[number + 1 :]]
                    found = self._frames_read(sample, table, frames)
                    problem = next((text for event in found or () if (text := impossible(event))), "")
                    assert not problem, f"{sample.topic}: {where}: {problem}"

    def test_spoilt_frames_raise_that_they_cannot_be_read_and_nothing_else(self, table: InstrumentTable) -> None:
        for number, sample in enumerate(self.facts.streams):
            for spoilt in (*spoilt_ways(sample.frames[0], number), *GARBAGE):
                found = self._frames_read(sample, table, [spoilt])
                problem = next((text for event in found or () if (text := impossible(event))), "")
                assert not problem, f"{sample.topic}: {excerpt(spoilt)}: {problem}"

    def test_a_frame_cut_short_is_never_delivered(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            for part in spoiling.cut(sample.frames[0]):
                assert self._frames_read(sample, table, [part]) is None, f"{sample.topic}: cut after {len(part)} bytes"

    def test_a_frame_of_another_topic_never_ends_a_reader(self, table: InstrumentTable) -> None:
        for sample in self.facts.streams:
            for other in self.facts.streams:
                if other is not sample:
                    assert self.driver.streams.route(other.frames[0]) != sample.name.encode(), f"{other.topic}"
                    self._frames_read(sample, table, other.frames)  # raises WireFormatError at most

    def _frames_read(
        self, sample: StreamSample, table: InstrumentTable, frames: Sequence[bytes]
    ) -> list[MarketEvent] | None:
        try:
            return self.read_stream(sample, table, frames)
        except WireFormatError:
            return None
        except Exception as other:
            raise AssertionError(
                f"{sample.topic}: {excerpt(frames[0])} raised {other!r:.200}, expected WireFormatError"
            ) from other

    def _data_frames(self) -> Iterator[bytes]:
        return (frame for sample in self.facts.streams for frame in sample.frames)

    def _control_frames(self) -> Iterator[bytes]:
        yield from (frame for frame, _ in self.facts.acks)
        yield from (sample.frame for sample in self.facts.refused)
        yield from (*self.facts.endings, *self.facts.known_noise, *self.facts.unknown_noise)

    # ---------------------------------------------------------------- control frames

    def test_acknowledgements_name_what_they_acknowledge(self) -> None:
        assert self.facts.acks, "give the frame that acknowledges a subscription"
        for frame, ack in self.facts.acks:
            assert self.driver.streams.control(frame) == ack, excerpt(frame)

    def test_refusals_of_subscriptions_are_classed(self) -> None:
        assert self.facts.refused, "give the frame that refuses a subscription"
        for sample in self.facts.refused:
            said = self.driver.streams.control(sample.frame)
            assert isinstance(said, Refusal), f"{excerpt(sample.frame)}: {said}"
            assert said.request_id == sample.request_id
            assert type(said.error) is sample.error, f"{excerpt(sample.frame)}: {said.error!r}"

    def test_an_announced_end_asks_for_a_successor(self) -> None:
        for frame in self.facts.endings:
            assert isinstance(self.driver.streams.control(frame), ConnectionEnding), excerpt(frame)

    def test_frames_that_are_expected_and_of_no_use_are_known_noise(self) -> None:
        for frame in self.facts.known_noise:
            said = self.driver.streams.control(frame)
            assert isinstance(said, Noise) and said.known, f"{excerpt(frame)}: {said}"

    def test_kinds_nobody_knows_are_noise_with_a_name_to_count_them_by(self) -> None:
        assert self.facts.unknown_noise, "give a frame of a kind no document knows"
        for frame in self.facts.unknown_noise:
            said = self.driver.streams.control(frame)
            assert isinstance(said, Noise) and not said.known and said.kind, f"{excerpt(frame)}: {said}"

    def test_unknown_fields_in_control_frames_change_nothing(self) -> None:
        for frame, ack in self.facts.acks:
            for where, more in spoiling.with_unknown_fields(frame):
                assert self.driver.streams.control(more) == ack, f"{excerpt(frame)}: in {where}"

    def test_control_never_raises_and_never_acknowledges_what_was_not(self) -> None:
        for number, frame in enumerate(self._control_frames()):
            for spoilt in (*spoilt_ways(frame, number), *GARBAGE):
                said = self.driver.streams.control(spoilt)
                assert isinstance(said, Ack | Refusal | ConnectionEnding | Noise), f"{excerpt(spoilt)}: {said!r}"
        for garbage in GARBAGE:
            assert isinstance(self.driver.streams.control(garbage), Noise), excerpt(garbage)

    def test_noise_is_counted_by_a_few_plain_words(self) -> None:
        for number, frame in enumerate((*self.facts.unknown_noise, *self._data_frames())):
            for spoilt in (*spoiling.flipped(frame, number), *GARBAGE):
                said = self.driver.streams.control(spoilt)
                if isinstance(said, Noise):
                    assert len(said.kind) < 200 and said.kind.isprintable(), f"{said.kind!r}"
