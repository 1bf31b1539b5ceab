"""Examines topics that say nothing: suspicion, one cheap question, a verdict. A part of the stream actor, on its thread.

When silence is suspicious is decided in `liveness`, what an answer proves in `continuity`. This keeps where each examination
stands and returns what to do; leaving, joining and replacing connections is the stream actor's work. A quiet market costs a
question now and then, never a reconnect.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pykka

from connector.supervision import ActorContext
from connector.throttle import Priority
from connector.venue.continuity import same_but_for_times
from connector.venue.delivery import TopicState
from connector.venue.feed import Feed
from connector.venue.memory import VenueMemory
from connector.venue.messages import Answer
from connector.venue.repairs import fetch

__all__ = ["Silence", "Verdict"]


class _Probed(msgspec.Struct, frozen=True):
    """From a REST worker: whether the venue has something that a silent topic should have sent."""

    name: str
    answer: Answer


class _Reprobe(msgspec.Struct, frozen=True):
    """To itself: ask again about a topic that has never sent anything."""

    name: str


class Verdict(enum.Enum):
    """FINE: nothing to do. RENEW: leave and join the topic again. REPLACE: the connection is not to be trusted."""

    FINE = "fine"
    RENEW = "renew"
    REPLACE = "replace"


@dataclass(slots=True)
class _Doubt:
    """Where the examination of a silent topic stands; times are monotonic seconds."""

    accepted_then: int
    probing_since_s: float
    unanswered: int = 0
    asked_again: bool = False
    proven: bool = False
    baseline: Any = None
    newer_since_s: float | None = None
    renewed_since_s: float | None = None


class Silence:
    """The examinations under way; `handlers` are its messages in the stream actor's inbox."""

    def __init__(self, memory: VenueMemory, context: ActorContext, ref: pykka.ActorRef[Any]) -> None:
        self._memory, self._context, self._ref = memory, context, ref
        self._clock, self._policy = memory.clock, memory.settings.liveness
        self._doubts: dict[str, _Doubt] = {}
        self.handlers: dict[type, Callable[[Any], None]] = {_Probed: self._on_probed, _Reprobe: self._on_reprobe}

    def forget(self, name: str) -> None:
        """The topic is left, or its connection is gone: whatever was suspected is void."""
        self._doubts.pop(name, None)

    def confirmed(self, name: str, now_s: float) -> None:
        """The topic was joined again: it has its time to speak from now."""
        doubt = self._doubts.get(name)
        if doubt is not None and doubt.renewed_since_s is not None:
            doubt.renewed_since_s = now_s

    def examine(self, name: str, feed: Feed, opened_s: float, now_s: float) -> Verdict:
        """One tick of a confirmed topic's life."""
        doubt = self._doubts.get(name)
        if doubt is None:
            self._suspect(name, feed, opened_s, now_s)
            return Verdict.FINE
        if feed.accepted != doubt.accepted_then:
            self._doubts.pop(name)  # it speaks again
            return Verdict.FINE
        return self._judge(name, feed, doubt, now_s)

    def _suspect(self, name: str, feed: Feed, opened_s: float, now_s: float) -> None:
        if feed.rule.probe is None:
            return
        since_s = max(opened_s, feed.last_new_s or 0.0, feed.quiet_s)
        learned_s = self._policy.suspect_after_s(feed.rate.mean_interval_s)
        if now_s - since_s > (self._policy.first_data_s if feed.last is None else learned_s):
            self._doubts[name] = _Doubt(feed.accepted, now_s)
            self._probe(name, feed)

    def _judge(self, name: str, feed: Feed, doubt: _Doubt, now_s: float) -> Verdict:
        """More silence: is it proven, was it repaired, or has the question been lost?"""
        if doubt.renewed_since_s is not None:
            if now_s - doubt.renewed_since_s > self._policy.repair_s:
                self._doubts.pop(name)
                if doubt.proven:
                    return Verdict.REPLACE
                feed.found_quiet(now_s)  # it stays marked stale until it speaks or can be checked
        elif doubt.newer_since_s is not None:
            if now_s - doubt.newer_since_s > self._policy.settle_s:
                self._mark(feed, doubt)
                doubt.renewed_since_s = now_s
                return Verdict.RENEW
        elif now_s - doubt.probing_since_s > 2 * self._memory.settings.request_timeout_s:
            self._doubts.pop(name)  # the REST actor died with the question: begin again
        return Verdict.FINE

    def _mark(self, feed: Feed, doubt: _Doubt) -> None:
        if doubt.proven:
            self._memory.counters.add("stream.silent_topics")
            feed.set_state(TopicState.STALE, "silent: the venue has newer values than this topic delivered")
        else:
            self._memory.counters.add("stream.unproven_silence")
            feed.set_state(TopicState.STALE, "silent, and the venue does not answer whether there is anything newer")

    # ------------------------------------------------------------ questions

    def _probe(self, name: str, feed: Feed) -> None:
        self._memory.counters.add("stream.probes")
        assert feed.rule.probe is not None
        query = feed.rule.probe(feed.topic)
        fetch(self._memory, self._context, self._ref, query, Priority.READ, lambda answer: _Probed(name, answer))

    def _on_probed(self, message: _Probed) -> None:
        doubt, feed = self._doubts.get(message.name), self._memory.feed_table().get(message.name)
        if doubt is None or feed is None or feed.accepted != doubt.accepted_then:
            return
        now_s = self._clock.monotonic_s()
        if message.answer.error is not None:
            doubt.unanswered += 1
            if doubt.unanswered >= 2:  # cannot be checked: better to subscribe once too often than to miss a fault
                doubt.newer_since_s = now_s
            else:
                self._probe(message.name, feed)
            return
        if feed.last is not None:
            newer = feed.rule.shows_newer(feed.last, message.answer.value)
        else:
            newer = doubt.baseline is not None and not same_but_for_times(doubt.baseline, message.answer.value)
            if doubt.baseline is None:
                doubt.baseline = message.answer.value
        if newer:
            doubt.newer_since_s, doubt.proven = now_s, True
            feed.shown_newer()
        elif feed.last is not None:
            self._doubts.pop(message.name)
            feed.found_quiet(now_s)
        else:
            if doubt.asked_again:
                feed.shown_quiet()
            doubt.asked_again = True
            doubt.probing_since_s = now_s + self._policy.first_data_s
            self._context.call_later(self._policy.first_data_s, _Reprobe(message.name))

    def _on_reprobe(self, message: _Reprobe) -> None:
        feed = self._memory.feed_table().get(message.name)
        if feed is not None and message.name in self._doubts:
            self._probe(message.name, feed)

    def __repr__(self) -> str:
        return f"<Silence {self._memory.name} under examination={len(self._doubts)}>"
