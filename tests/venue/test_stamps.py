"""The times requests are signed with: no two alike for one key, and never in the venue's future for long."""

import random
import threading

from far_side import FarSide, connect

from connector.testing.deterministic import DeterministicRuntime


class Account:
    """One account whose clock stands still unless moved."""

    def __init__(self):
        self.runtime = DeterministicRuntime(3)
        self.far = FarSide(self.runtime, random.Random(3))
        self.connector = connect(self.far, random.Random(3), session=False)

    def __enter__(self):
        self.connector.start()
        self.runtime.advance(5.0)
        self.memory = self.connector._assembly.memories["binance"]
        return self

    def __exit__(self, *_):
        self.connector.stop()

    def venue_ms(self):
        return self.memory.trading.venue_ms()


def test_sixty_four_threads_that_sign_in_one_millisecond_get_a_time_each():
    """F63: rising for each thread, and none twice."""
    with Account() as account:
        begin, taken = threading.Barrier(64), [[] for _ in range(64)]

        def sign(mine):
            begin.wait(10.0)
            mine.extend(account.memory.trading.now_ms() for _ in range(4))

        threads = [threading.Thread(target=sign, args=(mine,), name="signer") for mine in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10.0)
        stamps = [stamp for mine in taken for stamp in mine]
        assert len(set(stamps)) == len(stamps) == 256
        assert all(mine == sorted(mine) for mine in taken)
        assert max(stamps) - account.venue_ms() <= 256


def test_after_the_venues_clock_went_back_nothing_is_signed_in_its_future():
    """F57: half a minute back; the next stamp is of the new time, and they rise from there."""
    with Account() as account:
        trading, offset, clock = account.memory.trading, account.memory.offset, account.memory.clock
        before = trading.now_ms()
        account.memory.forget_clock()
        now_ns = clock.time_ns()
        assert offset.add(now_ns, now_ns, now_ns - 30_000_000_000)

        first, second = trading.now_ms(), trading.now_ms()
        assert first <= before - 29_000
        assert abs(first - account.venue_ms()) <= 1 and second == first + 1
