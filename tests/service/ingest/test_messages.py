"""Frames of a scanner: read where they are messages, refused at once where they are not."""

from __future__ import annotations

from time import process_time

import msgpack
import pytest

from hema_stream.service.ingest.messages import NotUnderstoodError, read

SIZE = 20 << 20
HOSTILE = {
    "a wide list": b"\xdd" + (SIZE - 5).to_bytes(4, "big") + b"\x01" * (SIZE - 5),
    "a deep list": b"\x91" * SIZE,
    "a bush": b"\x94" * 600 + b"\x94\x01\x01\x01\x01" * ((SIZE - 600) // 5),
    "a wide list in an unknown key": b"\x82\xa4type\xa5field\xa1z\xdd" + (SIZE).to_bytes(4, "big") + b"\x01" * SIZE,
    "a wide list in a known key": b"\x82\xa4type\xa9watermark\xa6sealed\xdd"
    + (SIZE).to_bytes(4, "big")
    + b"\x01" * SIZE,
    "a map of many keys": b"\xdf" + (SIZE // 3).to_bytes(4, "big") + b"\xa1a\x01" * (SIZE // 3),
}


@pytest.mark.parametrize("frame", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_large_frame_that_is_no_message_is_refused_before_it_is_built(frame: bytes) -> None:
    begun = process_time()
    with pytest.raises(NotUnderstoodError):
        read(frame)
    assert process_time() - begun < 0.1


def test_a_list_that_is_longer_than_any_message_has_is_refused() -> None:
    with pytest.raises(NotUnderstoodError):
        read(msgpack.packb({"type": "watermark", "index": 1, "sealed": [0.0] * 5}))
