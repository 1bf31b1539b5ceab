"""How far a venue's clock is from ours, with a bound on the error.

A time call sent at `sent_ns` and answered at `received_ns` with `server_ns` proves that the offset (venue minus us) lies between
`server_ns - received_ns` and `server_ns - sent_ns`. Each proof widens as it ages, by the drift clocks may have. The estimate is
the middle of what all recent proofs have in common, so the best round trip decides, a slow or one-sided one changes nothing,
and the error is at most half the best round trip (plus drift and the fineness of the venue's stamp), whatever the network does.
A single proof that contradicts the others is put aside as a lie; when the next one agrees with it, a clock was stepped: the two
replace all the others.

This module only computes: it reads no clock and asks no venue. One thread at a time may feed it; reading is safe from any thread,
because readers see one frozen estimate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["ClockOffset", "OffsetEstimate"]

_PPM = 1_000_000


class _Proof(NamedTuple):
    at_ns: int
    low_ns: int
    high_ns: int


class OffsetEstimate(NamedTuple):
    """What was known at `at_ns` of our clock.

    Attributes:
        offset_ns: venue's clock minus ours.
        error_ns: the true offset was within so much of `offset_ns`.
        sampled_ns: our clock at the newest sample that was used.
        samples: how many samples it rests on.
    """

    at_ns: int
    offset_ns: int
    error_ns: int
    sampled_ns: int
    samples: int


class ClockOffset:
    """The offset of one venue's clock.

    Args:
        max_round_trip_s: slower samples are dropped. Half of it bounds the error of any single sample (250 ms).
        resolution_ns: the venue cuts its stamp to multiples of this (1 ms on Binance).
        disagreement_ns: how far the clocks of the venue's own servers may be apart.
        drift_ppm: how fast the two clocks may part.
        window_s: samples older than this are forgotten when newer ones exist.
        max_age_s: an estimate whose newest sample is older is stale, and no longer given out.

    Attributes:
        newest: the estimate as of its own moment, the same object until there is another; None when unknown. It may be stale.
    """

    __slots__ = (
        "_disagreement_ns",
        "_drift_ppm",
        "_max_age_ns",
        "_max_round_trip_ns",
        "_proofs",
        "_resolution_ns",
        "_suspect",
        "_window_ns",
        "contradicted",
        "dropped",
        "newest",
    )

    def __init__(
        self,
        *,
        max_round_trip_s: float = 0.5,
        resolution_ns: int = 1_000_000,
        disagreement_ns: int = 2_000_000,
        drift_ppm: int = 200,
        window_s: float = 300.0,
        max_age_s: float = 900.0,
    ) -> None:
        self._max_round_trip_ns = round(max_round_trip_s * 1e9)
        self._resolution_ns, self._disagreement_ns, self._drift_ppm = resolution_ns, disagreement_ns, drift_ppm
        self._window_ns, self._max_age_ns = round(window_s * 1e9), round(max_age_s * 1e9)
        self._proofs: deque[_Proof] = deque(maxlen=32)
        self._suspect: _Proof | None = None
        self.newest: OffsetEstimate | None = None
        self.dropped = 0
        self.contradicted = 0

    def add(self, sent_ns: int, received_ns: int, server_ns: int) -> bool:
        """Take one sample; all three in nanoseconds, the first two of our clock.

        Returns:
            False when it was not used: too slow, answered before it was sent, or in contradiction to the others.
        """
        round_trip = received_ns - sent_ns
        if not 0 <= round_trip <= self._max_round_trip_ns:
            self.dropped += 1
            return False
        slack = self._disagreement_ns + round_trip * self._drift_ppm // _PPM + 1  # the clocks part on the way, too
        proof = _Proof(received_ns, server_ns - slack - received_ns, server_ns + self._resolution_ns + slack - sent_ns)
        oldest = received_ns - self._window_ns
        while self._proofs and self._proofs[0].at_ns < oldest:
            self._proofs.popleft()
        low, high = self._common((*self._proofs, proof), received_ns)
        if low > high:
            self.contradicted += 1
            suspect, self._suspect = self._suspect, proof
            if suspect is None:
                return False
            low, high = self._common((suspect, proof), received_ns)
            if low > high:
                return False
            self._proofs.clear()
            self._proofs.append(suspect)
        self._suspect = None
        self._proofs.append(proof)
        self.newest = OffsetEstimate(
            at_ns=received_ns,
            offset_ns=(low + high) // 2,
            error_ns=(high - low + 1) // 2,
            sampled_ns=received_ns,
            samples=len(self._proofs),
        )
        return True

    def _common(self, proofs: Iterable[_Proof], now_ns: int) -> tuple[int, int]:
        low, high = -(1 << 70), 1 << 70
        for proof in proofs:
            drift = abs(now_ns - proof.at_ns) * self._drift_ppm // _PPM
            low, high = max(low, proof.low_ns - drift), min(high, proof.high_ns + drift)
        return low, high

    def invalidate(self) -> None:
        """Forget everything: a clock was stepped, the machine slept, or the venue refused a timestamp."""
        self._proofs.clear()
        self._suspect = None
        self.newest = None

    def estimate(self, now_ns: int) -> OffsetEstimate | None:
        """The offset as of `now_ns`, its error grown by drift since the newest sample; None when unknown or stale."""
        known = self.newest
        if known is None or now_ns - known.sampled_ns > self._max_age_ns:
            return None
        drift = abs(now_ns - known.at_ns) * self._drift_ppm // _PPM
        return OffsetEstimate(now_ns, known.offset_ns, known.error_ns + drift, known.sampled_ns, known.samples)

    def is_stale(self, now_ns: int) -> bool:
        """True when nothing is known, or only something too old."""
        return self.estimate(now_ns) is None

    def venue_time_ns(self, now_ns: int) -> int | None:
        """The venue's clock at `now_ns` of ours; None when unknown or stale: nothing may be signed then."""
        known = self.newest
        if known is None or now_ns - known.sampled_ns > self._max_age_ns:
            return None
        return now_ns + known.offset_ns

    def __repr__(self) -> str:
        known = self.newest
        if known is None:
            return "<ClockOffset unknown>"
        return f"<ClockOffset {known.offset_ns / 1e6:+.1f}ms ±{known.error_ns / 1e6:.1f}ms of {known.samples} samples>"
