"""Bags as other writers make them: what MCAP allows to leave out, messages compressed one by one, unreadable types."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import yaml
import zstandard
from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType, Writer
from rosbags.highlevel import AnyReader

from gaze_vlm_ros.bags import compression
from gaze_vlm_ros.bags.compression import NotDecompressed, decompress, decompress_message
from gaze_vlm_ros.bags.errors import BagDamaged, NotABag, UnreadableMessage
from gaze_vlm_ros.bags.message_types import describe_type, message_class, serialize
from gaze_vlm_ros.bags.qos import qos_profiles
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.recover import recover
from gaze_vlm_ros.bags.stamps import split_ns

LABEL, POINTS = "gaze_vlm_msgs/msg/ActionLabel", "sensor_msgs/msg/PointCloud2"
START_NS = 1_790_000_000_000_000_000
SEPARATOR = "=" * 80 + "\n"
STEERING_IDL = (
    SEPARATOR + "IDL: acme_msgs/msg/Steering\n"
    "module acme_msgs { module msg { struct Steering { builtin_interfaces::msg::Time stamp; float angle; }; }; };\n"
    + SEPARATOR + "IDL: builtin_interfaces/msg/Time\n"
    "module builtin_interfaces { module msg { struct Time { int32 sec; uint32 nanosec; }; }; };\n"
)  # fmt: skip


def label(number: int) -> bytes:
    stamp = message_class("builtin_interfaces/msg/Time")(*split_ns(START_NS + number * 10**9))
    header = message_class("std_msgs/msg/Header")(stamp, "scene")
    return serialize(message_class(LABEL)(header, f"action {number}", "do", ""), LABEL)


def write(
    folder: Path, count: int = 40, change: Callable[[bytes], bytes] = bytes, end: bool = True, **options: object
) -> Path:
    """A folder with one file of labels, a chunk every ten, by MCAP's own writer with these options."""
    folder.mkdir()
    with (folder / f"{folder.name}_0.mcap").open("wb") as stream:
        writer = Writer(stream, chunk_size=1 << 20, **options)  # type: ignore[arg-type]
        writer.start("ros2")
        schema = writer.register_schema(LABEL, "ros2msg", describe_type(LABEL).definition.encode())
        channel = writer.register_channel("/label", "cdr", schema)
        for number in range(count):
            writer.add_message(channel, START_NS + number, change(label(number)), START_NS, number)
            if number % 10 == 9:
                writer.flush()
        writer.finish() if end else writer.flush()
    return folder


def texts(folder: Path) -> list[str]:
    with open_bag(folder) as bag:
        return [message.text for message in bag.read("/label").messages()]


@pytest.mark.parametrize("repeats", [{}, {"repeat_channels": False}, {"repeat_schemas": False},
                                     {"repeat_channels": False, "repeat_schemas": False}])  # fmt: skip
@pytest.mark.parametrize("index", [IndexType.ALL, IndexType.ALL & ~IndexType.MESSAGE])
@pytest.mark.parametrize("statistics", [True, False])
def test_what_a_summary_may_leave_out_is_read_from_the_chunks(
    tmp_path: Path, repeats: dict[str, bool], index: IndexType, statistics: bool
) -> None:
    folder = write(tmp_path / "bag", index_types=index, use_statistics=statistics, **repeats)
    assert texts(folder) == [f"action {number}" for number in range(40)]


def test_a_topic_that_is_declared_long_before_its_first_message(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    with (folder / "bag_0.mcap").open("wb") as stream:
        writer = Writer(stream, chunk_size=300, repeat_channels=False, repeat_schemas=False)
        writer.start("ros2")
        schema = writer.register_schema(LABEL, "ros2msg", describe_type(LABEL).definition.encode())
        early, late = (writer.register_channel(name, "cdr", schema) for name in ("/early", "/late"))
        for number in range(40):
            writer.add_message(late if number == 39 else early, START_NS + number, label(number), START_NS)
        writer.finish()
    with open_bag(folder) as bag:
        assert {name: len(stream) for name, stream in bag.topics.items()} == {"/early": 39, "/late": 1}
        assert bag.read("/late").message(0).text == "action 39"


@pytest.mark.parametrize("statistics", [True, False])
def test_a_file_without_chunk_index_says_so_and_is_never_empty(tmp_path: Path, statistics: bool) -> None:
    folder = write(tmp_path / "bag", index_types=IndexType.NONE, use_statistics=statistics)
    with pytest.raises(NotABag, match="has no index; `gaze-vlm bag recover` writes one"):
        open_bag(folder)
    assert texts(recover(folder).folder) == [f"action {number}" for number in range(40)]


def test_an_empty_bag_has_no_message(tmp_path: Path) -> None:
    with open_bag(write(tmp_path / "bag", 0, use_statistics=False)) as bag:
        assert not any(bag.topics.values())


class TestMessageCompression:
    """rosbag2's `compression_mode: MESSAGE`."""

    def test_messages_are_decompressed(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "bag", change=zstandard.compress)
        assert texts(folder) == [f"action {number}" for number in range(40)]
        with open_bag(folder) as bag:
            assert bytes(bag.read("/label").raw(7)) == label(7)
            assert bag.read("/label").stamps_ns[7] == START_NS + 7 * 10**9

    def test_a_copy_keeps_its_mode(self, tmp_path: Path) -> None:
        cut = write(tmp_path / "cut", change=zstandard.compress, end=False)
        copy = recover(cut).folder
        information = yaml.safe_load((copy / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        assert (information["compression_format"], information["compression_mode"]) == ("zstd", "MESSAGE")
        with (copy / "cut_recovered_0.mcap").open("rb") as stream:
            assert [m.data for _, _, m in make_reader(stream).iter_messages()] == [
                zstandard.compress(label(number)) for number in range(40)
            ]
        with AnyReader([copy]) as reader:
            read = [reader.deserialize(data, c.msgtype).text for c, _, data in reader.messages()]
        assert read == texts(copy) == [f"action {number}" for number in range(40)]

    def test_a_copy_of_files_in_both_modes_has_one(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "both", change=zstandard.compress, end=False)
        plain = write(tmp_path / "plain", end=False)
        shutil.move(plain / "plain_0.mcap", folder / "both_1.mcap")
        with AnyReader([recover(folder).folder]) as reader:
            read = [reader.deserialize(data, c.msgtype).text for c, _, data in reader.messages()]
        assert sorted(read) == sorted(2 * [f"action {number}" for number in range(40)])

    def test_a_damaged_message_is_named_and_counted(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "bag", change=lambda data: zstandard.compress(data)[:-4], end=True)
        with open_bag(folder) as bag, pytest.raises(UnreadableMessage, match="/label is compressed, and does not"):
            bag.read("/label").message(0)

    def test_a_message_never_expands_beyond_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compression, "LARGEST_BYTES", 1 << 20)
        assert decompress_message(zstandard.compress(bytes(1 << 20))) == bytes(1 << 20)
        with pytest.raises(NotDecompressed, match="states 1048577 bytes, expected at most 1048576"):
            decompress_message(zstandard.compress(bytes((1 << 20) + 1)))


class TestChunkSizes:
    """A chunk states its size; a few bytes can state, and expand to, any."""

    @pytest.mark.parametrize(("name", "pack"), [("zstd", zstandard.compress), ("lz4", lz4.frame.compress)])
    def test_nothing_expands_beyond_what_is_stated(self, name: str, pack: Callable[[bytes], bytes]) -> None:
        stored = pack(bytes(100_000))
        assert decompress(stored, name, 100_000) == bytes(100_000)
        for stated in (0, 10, 99_999, 100_001, 900 * 10**9):
            with pytest.raises(NotDecompressed, match=f"states {stated} bytes"):
                decompress(stored, name, stated)
        with pytest.raises(NotDecompressed):
            decompress(stored[:-9], name, 100_000)

    def test_zstd_without_a_size_in_its_frame(self) -> None:
        stored = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(5000))
        assert decompress(stored, "zstd", 5000) == bytes(5000)
        with pytest.raises(NotDecompressed):
            decompress(stored, "zstd", 4999)

    @pytest.mark.parametrize("kind", [CompressionType.ZSTD, CompressionType.LZ4])
    def test_a_bag_whose_chunk_states_900_gb(self, tmp_path: Path, kind: CompressionType) -> None:
        folder = write(tmp_path / "bag", compression=kind, enable_crcs=False)
        file = folder / "bag_0.mcap"
        with file.open("rb") as stream:
            summary = make_reader(stream).get_summary()
        assert summary is not None
        data = file.read_bytes()
        stated = summary.chunk_indexes[1].uncompressed_size
        data = data.replace(struct.pack("<Q", stated), struct.pack("<Q", 900 * 10**9))
        file.write_bytes(data)
        with open_bag(folder) as bag, pytest.raises(BagDamaged, match="states 900000000000 bytes, expected at most"):
            list(bag.read("/label").messages())


def write_beside_label(folder: Path, topic: str, name: str, encoding: str, definition: bytes, data: bytes) -> Path:
    folder.mkdir()
    with (folder / f"{folder.name}_0.mcap").open("wb") as stream:
        writer = Writer(stream)
        writer.start("ros2")
        other = writer.register_channel(topic, "cdr", writer.register_schema(name, encoding, definition))
        schema = writer.register_schema(LABEL, "ros2msg", describe_type(LABEL).definition.encode())
        channel = writer.register_channel("/label", "cdr", schema)
        for number in range(4):
            writer.add_message(other, START_NS + number, data, START_NS)
            writer.add_message(channel, START_NS + number, label(number), START_NS)
        writer.flush()
    return folder


UNREADABLE = [
    ("ros2msg", POINTS, b"", "a message on /other is no sensor_msgs/msg/PointCloud2"),
    ("", POINTS, b"", "a message on /other is no sensor_msgs/msg/PointCloud2"),
    ("ros2msg", "acme_msgs/msg/State", "string n\u00e9e\n".encode("latin-1"), "carries acme_msgs/msg/State, which the"),
    ("ros2msg", "acme_msgs/msg/State", b"%%% no definition", "carries acme_msgs/msg/State, which the bag does not"),
    ("ros2idl", "acme_msgs/msg/State", b"module {", "carries acme_msgs/msg/State, which the bag does not define"),
]


@pytest.mark.parametrize(("encoding", "name", "definition", "says"), UNREADABLE)
def test_a_schema_that_cannot_be_parsed_costs_only_its_topic_and_is_copied_as_it_is(
    tmp_path: Path, encoding: str, name: str, definition: bytes, says: str
) -> None:
    folder = write_beside_label(tmp_path / "bag", "/other", name, encoding, definition, b"\0\1\0\0")
    recovery = recover(folder)
    assert (recovery.saved, recovery.lost) == ({"/other": 4, "/label": 4}, {})
    with (recovery.folder / "bag_recovered_0.mcap").open("rb") as stream:
        schemas = {schema.name: schema for schema, _, _ in make_reader(stream).iter_messages() if schema}
    assert (schemas[name].encoding, schemas[name].data) == (encoding, definition)
    assert texts(recovery.folder) == [f"action {number}" for number in range(4)]
    with open_bag(recovery.folder) as bag, pytest.raises(UnreadableMessage, match=says):
        bag.read("/other").message(0)


def test_types_in_idl_are_read(tmp_path: Path) -> None:
    data = b"\0\1\0\0" + struct.pack("<iIf", 5, 7, 0.25)
    folder = write_beside_label(
        tmp_path / "bag", "/steering", "acme_msgs/msg/Steering", "ros2idl", STEERING_IDL.encode(), data
    )
    recovery = recover(folder)
    assert recovery.saved["/steering"] == 4
    with open_bag(recovery.folder) as bag:
        np.testing.assert_array_equal([message.angle for message in bag.read("/steering").messages()], [0.25] * 4)


def test_two_topics_of_one_type_with_other_definitions_are_both_copied(tmp_path: Path) -> None:
    folder = write_beside_label(tmp_path / "bag", "/old", LABEL, "ros2msg", b"string text\n", b"\0\1\0\0\1\0\0\0\0")
    assert recover(folder).saved == {"/old": 4, "/label": 4}


class TestQos:
    """The text that a channel stores of what its publishers offered."""

    def test_numbers_until_humble_become_words(self) -> None:
        text = "- history: 1\n  depth: 5\n  reliability: 2\n  durability: 1\n  liveliness: 1\n"
        text += "  deadline: {sec: 9223372036, nsec: 854775807}\n"
        (profile,) = qos_profiles(text)
        assert {name: profile[name] for name in ("history", "depth", "reliability", "durability", "liveliness")} == {
            "history": "keep_last",
            "depth": 5,
            "reliability": "best_effort",
            "durability": "transient_local",
            "liveliness": "automatic",
        }

    def test_they_are_words_in_the_metadata_of_a_copy(self, tmp_path: Path) -> None:
        folder = tmp_path / "bag"
        folder.mkdir()
        with (folder / "bag_0.mcap").open("wb") as stream:
            writer = Writer(stream)
            writer.start("ros2")
            schema = writer.register_schema(LABEL, "ros2msg", describe_type(LABEL).definition.encode())
            qos = {"offered_qos_profiles": "- history: 1\n  reliability: 1\n  durability: 2\n"}
            writer.add_message(writer.register_channel("/label", "cdr", schema, qos), START_NS, label(0), START_NS)
            writer.flush()
        text = (recover(folder).folder / "metadata.yaml").read_text()
        assert "reliability: reliable\n" in text
        assert "history: keep_last\n" in text
        assert "durability: volatile\n" in text

    @pytest.mark.parametrize("text", ["", "[", "- 1", "{}", "- " * 3000, "x" * (2 << 20)])
    def test_no_profiles(self, text: str) -> None:
        assert qos_profiles(text) == []

    def test_aliases_do_not_multiply(self) -> None:
        text = "- history: &a0 keep_last\n  depth: 3\n  deadline: &b0 [x, x]\n"
        text += "".join(f"  l{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 12))
        (profile,) = qos_profiles(text)
        assert len(yaml.safe_dump(profile)) < 1000
        assert profile["depth"] == 3


def test_the_definitions_of_one_topic_never_change_how_another_is_decoded(tmp_path: Path) -> None:
    """A schema carries the types it uses, and its writer may have had another version of them."""
    header = "string frame_id\nbuiltin_interfaces/Time stamp\n"
    definition = "std_msgs/Header header\n" + SEPARATOR + "MSG: std_msgs/Header\n" + header
    definition += SEPARATOR + "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
    for number, name in enumerate(("acme_msgs/msg/Odd", LABEL)):
        data = b"\0\1\0\0" + struct.pack("<I4siI", 4, b"cam\0", 7, 8)
        cut = write_beside_label(tmp_path / str(number), "/other", name, "ros2msg", definition.encode(), data)
        folder = recover(cut).folder
        assert texts(folder) == [f"action {number}" for number in range(4)]
        with open_bag(folder) as bag:
            assert bag.read("/other").message(0).header.stamp.sec == 7
