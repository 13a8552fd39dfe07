"""What the scan of a damaged file takes for the beginning of a record."""

import pytest
from mcap.opcode import Opcode

from gaze_vlm_ros.bags.mcap_records import RECORD_HEADER
from gaze_vlm_ros.bags.mcap_scan import _begins_a_record

HEADER = RECORD_HEADER.pack(Opcode.MESSAGE, 40)
ROOM = RECORD_HEADER.size + 40


@pytest.mark.parametrize(
    ("rest", "room", "begins"),
    [
        (bytes([Opcode.MESSAGE]), ROOM, True),
        (bytes([Opcode.FOOTER]), ROOM, False),  # no record of a chunk
        (HEADER, ROOM, True),
        (HEADER + bytes(39), ROOM, True),
        (HEADER + bytes(40), ROOM, False),  # whole, so it would have been read
        (HEADER + bytes(60), ROOM + 100, False),
        (HEADER + bytes(10), ROOM - 1, False),  # longer than what is left of the chunk
        (RECORD_HEADER.pack(Opcode.FOOTER, 40) + bytes(10), ROOM, False),
    ],
)
def test_only_a_record_that_fits_and_is_cut_begins(rest: bytes, room: int, begins: bool) -> None:
    assert _begins_a_record(rest, room) is begins
