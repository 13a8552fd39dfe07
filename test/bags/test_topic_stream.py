"""One topic of a bag as a stream of messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaze_vlm_ros.bags.errors import NoSuchTopic
from gaze_vlm_ros.bags.mcap_file import IndexedMessages
from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.topic_stream import places_of
from gaze_vlm_ros.bags.writer import BagWriter, Split

LABEL, STRING = "gaze_vlm_msgs/msg/ActionLabel", "std_msgs/msg/String"
START_NS = 1_790_000_000_000_000_000


@pytest.fixture
def bag_folder(tmp_path: Path) -> Path:
    """Labels whose stamps go back once, notes without a stamp, and a topic without messages; in several files."""
    writer = BagWriter(tmp_path / "bag", {}, Split(max_s=2.5))
    writer.add_topic("/label", LABEL)
    writer.add_topic("/note", STRING)
    writer.add_topic("/empty", LABEL)
    time, header = message_class("builtin_interfaces/msg/Time"), message_class("std_msgs/msg/Header")
    for number, second in enumerate((0, 2, 1, 3, 4, 5)):
        stamp = time(*split_ns(START_NS + second * 10**9))
        label = message_class(LABEL)(header(stamp, "scene"), f"action {number}", "", "")
        writer.write_message("/label", label, START_NS + number * 10**9 + 30)
        writer.write_message("/note", message_class(STRING)(f"note {number}"), START_NS + number * 10**9)
    writer.close()
    return tmp_path / "bag"


def test_a_stream_has_its_messages_in_the_order_of_arrival(bag_folder: Path) -> None:
    with open_bag(bag_folder) as bag:
        assert bag.file_count == 2
        labels = bag.read("/label")
        assert (labels.topic, labels.type_name, labels.count, len(labels)) == ("/label", LABEL, 6, 6)
        np.testing.assert_array_equal(labels.arrivals_ns, START_NS + np.arange(6) * 10**9 + 30)
        np.testing.assert_array_equal(labels.stamps_ns, START_NS + np.array([0, 2, 1, 3, 4, 5]) * 10**9)
        assert [message.text for message in labels.messages()] == [f"action {number}" for number in range(6)]
        assert [labels.message(index).text for index in (5, 0, 3)] == ["action 5", "action 0", "action 3"]
        assert [labels.sequence(index) for index in range(6)] == list(range(6))
        assert len(labels.raw(2)) > 12
        with pytest.raises(IndexError):
            labels.message(6)


def test_only_topics_that_begin_with_a_stamp_are_stamped(bag_folder: Path) -> None:
    with open_bag(bag_folder) as bag:
        assert {name: stream.is_stamped for name, stream in bag.topics.items()} == {
            "/label": True, "/note": False, "/empty": True,
        }  # fmt: skip


def test_a_topic_without_messages_is_an_empty_stream(bag_folder: Path) -> None:
    with open_bag(bag_folder) as bag:
        empty = bag.read("/empty")
        assert not empty
        assert (len(empty.stamps_ns), len(empty.arrivals_ns), list(empty.messages())) == (0, 0, [])


def test_streams_by_type_and_a_topic_that_is_not_there(bag_folder: Path) -> None:
    with open_bag(bag_folder) as bag:
        assert [stream.topic for stream in bag.streams_of(LABEL)] == ["/label", "/empty"]
        assert [stream.topic for stream in bag.streams_of(STRING, LABEL)] == ["/label", "/note", "/empty"]
        assert bag.streams_of("sensor_msgs/msg/Image") == []
        with pytest.raises(NoSuchTopic, match="has no topic /gaze; it has /label, /note, /empty"):
            bag.read("/gaze")


def test_places_are_sorted_by_arrival_and_keep_the_order_of_equal_times() -> None:
    def part(chunk: int, log_ns: list[int], offsets: list[int]) -> IndexedMessages:
        return IndexedMessages("/gaze", chunk, np.array(log_ns, np.int64), np.array(offsets, np.int64))

    places = places_of([(0, part(0, [10, 30], [1, 2])), (0, part(1, [20, 30], [3, 4])), (1, part(0, [5], [6]))])
    assert places.log_ns.tolist() == [5, 10, 20, 30, 30]
    assert places.file.tolist() == [1, 0, 0, 0, 0]
    assert places.chunk.tolist() == [0, 0, 1, 0, 1]
    assert places.offset.tolist() == [6, 1, 3, 2, 4]
    assert len(places_of([]).log_ns) == 0
