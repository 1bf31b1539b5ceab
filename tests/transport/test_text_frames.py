"""The frames websocket-client's link writes itself, read by another implementation of the protocol."""

from __future__ import annotations

import os
import threading

import pytest
from transport_servers import masked

from connector.transport.websocket_client_link import _Masks, _text_frame


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 100_001])
def test_a_text_frame_is_whole_final_and_masked_whatever_its_size(size: int) -> None:
    text, mask = os.urandom(size), b"\x01\x02\xfe\xff"
    frame = _text_frame(text, mask)
    assert frame[0] == 0x81 and frame[1] & 0x80
    short, at = frame[1] & 0x7F, 2
    if short >= 126:
        at += 2 if short == 126 else 8
        assert int.from_bytes(frame[2:at], "big") == size >= (126 if short == 126 else 65_536)
    else:
        assert short == size
    assert frame[at : at + 4] == mask
    assert masked(frame[at + 4 :], mask) == text


def test_no_two_frames_get_one_mask_by_intent_whichever_thread_sends() -> None:
    masks, drawn = _Masks(), []

    def draw() -> None:
        drawn.extend(masks.next() for _ in range(2_000))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    assert len(drawn) == 8_000 and all(len(mask) == 4 for mask in drawn)
    assert len(set(drawn)) > 7_980  # four random bytes repeat now and then; a mask handed out twice would repeat often
