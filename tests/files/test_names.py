from __future__ import annotations

import os

from spore_yolo.files.names import is_utf8


def test_bytes_that_are_no_text_cannot_be_written() -> None:
    assert is_utf8("Spore ä 胞子.png")
    assert not is_utf8(os.fsdecode(b"spore\xff.png"))
