"""Bags cut at any byte, with changed bits, with zeros in them: what is saved is compared with a parser of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType, Writer
from rosbags.highlevel import AnyReader

from gaze_vlm_ros.bags.errors import BagNotFound, NotABag
from gaze_vlm_ros.bags.message_types import describe_type, message_class, serialize
from gaze_vlm_ros.bags.qos import DEFAULT_QOS
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.recover import BagIsWhole, NothingToSave, Recovery, recover, recovery_text
from gaze_vlm_ros.bags.session_records import METADATA_RECORD, RECOVERED_TOPIC_RECORD, RECOVERY_RECORD, TopicTotals
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagExists, BagWriter, Split
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.video.images import encode_jpeg

RAW, JPEG = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
GAZE, LABEL = "gaze_vlm_msgs/msg/GazeStamped", "gaze_vlm_msgs/msg/ActionLabel"
TOPICS = {"/raw": RAW, "/jpeg": JPEG, "/gaze": GAZE, "/label": LABEL}
SESSION = {"session": "s1", "person": "Zoë", "task": "t", "scene": "bench", "camera_topic": "/jpeg"}
START_NS = 1_790_000_000_000_000_000
MAGIC = b"\x89MCAP0\r\n"


class Stored(NamedTuple):
    """One message, in every field that a bag keeps."""

    topic: str
    log_ns: int
    publish_ns: int
    sequence: int
    data: bytes


def stamped(stamp_ns: int):
    time = message_class("builtin_interfaces/msg/Time")(*split_ns(stamp_ns))
    return message_class("std_msgs/msg/Header")(time, "scene")


def made_messages(count: int, seed: int) -> list[Stored]:
    """A camera raw and compressed, gaze ten times as often, some labels."""
    random_numbers = np.random.default_rng(seed)
    messages = []
    for i in range(count):
        now_ns = START_NS + i * 5_000_000
        picture = random_numbers.integers(0, 256, (12, 16, 3), np.uint8)
        made = {"/gaze": message_class(GAZE)(stamped(now_ns), 3.5 * i, 2.0, 16, 12, 0.9, 2, 1, stamped(i).stamp)}
        if i % 10 == 0:
            made["/raw"] = message_class(RAW)(stamped(now_ns), 12, 16, "rgb8", 0, 48, picture.reshape(-1))
            jpeg = np.frombuffer(encode_jpeg(picture), np.uint8)
            made["/jpeg"] = message_class(JPEG)(stamped(now_ns), "jpeg", jpeg)
        if i % 20 == 5:
            made["/label"] = message_class(LABEL)(stamped(now_ns), f"take object {i}", "take", "object")
        for topic, message in made.items():
            log_ns = now_ns + 1000 * len(messages)
            messages.append(Stored(topic, log_ns, now_ns + 7, i, serialize(message, TOPICS[topic])))
    return messages


def write_bag(folder: Path, messages: list[Stored], flush_every: int) -> Path:
    """The one file of a bag that the recorder's own writer made; chunks end where it flushes."""
    writer = BagWriter(folder, SESSION)
    for name, type_name in TOPICS.items():
        writer.add_topic(name, type_name)
    for i, message in enumerate(messages):
        writer.write(message.topic, message.data, message.log_ns, message.publish_ns, message.sequence)
        if i % flush_every == flush_every - 1:
            writer.flush()
    counts = Counter(message.topic for message in messages)
    writer.close({name: TopicTotals(counts[name] + 2, counts[name], 2) for name in TOPICS})
    return folder / f"{folder.name}_0.mcap"


class Layout(NamedTuple):
    """Where everything is in a whole file, by a parser that shares nothing with the package."""

    ends: list[int]  # of every record, those in chunks too
    messages: list[tuple[int, Stored]]  # (end in the file, message)
    chunks: list[tuple[int, int, list[Stored]]]  # (start, stop, messages)
    summary_start: int


def layout_of(data: bytes) -> Layout:
    """Return the layout of an uncompressed file, by nothing but the lengths in the specification."""
    ends, messages, chunks, channels = [len(MAGIC)], [], [], {}
    summary_start = 0

    def walk(start: int, stop: int, chunk: list[Stored] | None) -> None:
        nonlocal summary_start
        while start < stop:
            opcode, length = struct.unpack_from("<BQ", data, start)
            body, end = start + 9, start + 9 + length
            if opcode == 6:
                chunks.append((start, end, []))
                assert data[body + 28 : body + 32] == b"\0\0\0\0"  # uncompressed
                walk(body + 40, end, chunks[-1][2])
            elif opcode == 4:
                channel, _, name_length = struct.unpack_from("<HHI", data, body)
                channels[channel] = data[body + 8 : body + 8 + name_length].decode()
            elif opcode == 5:
                channel, sequence, log_ns, publish_ns = struct.unpack_from("<HIQQ", data, body)
                message = Stored(channels[channel], log_ns, publish_ns, sequence, data[body + 22 : end])
                messages.append((end, message))
                if chunk is not None:
                    chunk.append(message)
            elif opcode == 15:
                summary_start = end
            ends.append(end)
            start = end

    walk(len(MAGIC), len(data) - len(MAGIC), None)
    return Layout(sorted(ends), messages, chunks, summary_start)


def stored_in(file: Path) -> list[Stored]:
    """By mcap's own reader, checksums included."""
    with file.open("rb") as stream:
        found = make_reader(stream, validate_crcs=True).iter_messages()
        return [Stored(c.topic, m.log_time, m.publish_time, m.sequence, m.data) for _, c, m in found]


def in_order(messages: list[Stored]) -> list[Stored]:
    return sorted(messages, key=lambda message: message.log_ns)


def damaged_bag(tmp_path: Path, data: bytes, metadata_yaml: str | None) -> Path:
    folder = tmp_path / "bag"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(tmp_path / "bag_recovered", ignore_errors=True)
    folder.mkdir()
    (folder / "bag_0.mcap").write_bytes(data)
    if metadata_yaml is not None:
        (folder / "metadata.yaml").write_text(metadata_yaml)
    return folder


def try_to_recover(
    tmp_path: Path, data: bytes, metadata_yaml: str | None = None
) -> tuple[Recovery | None, list[Stored]]:
    """What was saved, read back; (None, []) where the file holds no message. Asserts what holds for every input."""
    folder = damaged_bag(tmp_path, data, metadata_yaml)
    try:
        recovery = recover(folder)
    except NothingToSave:
        assert not (tmp_path / "bag_recovered").exists()
        return None, []
    assert recovery.folder == tmp_path / "bag_recovered"
    assert (folder / "bag_0.mcap").read_bytes() == data
    assert len(list(folder.iterdir())) == 1 + (metadata_yaml is not None)
    saved = stored_in(recovery.folder / "bag_recovered_0.mcap")
    assert Counter(message.topic for message in saved) == +Counter(recovery.saved)
    assert (recovery.first_ns, recovery.last_ns) == (saved[0].log_ns, saved[-1].log_ns)
    with open_bag(recovery.folder) as bag:  # our own reader sees the same
        for name in recovery.saved:
            of_topic = [message for message in saved if message.topic == name]
            assert [bytes(bag.read(name).raw(i)) for i in range(bag.topics[name].count)] == [m.data for m in of_topic]
    return recovery, saved


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a thousand bags; no test here loses power


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("whole") / "bag", made_messages(60, seed=1), flush_every=16)


@pytest.fixture(scope="module")
def layout(whole: Path) -> Layout:
    return layout_of(whole.read_bytes())


def test_the_tests_own_parser_finds_what_was_written(layout: Layout) -> None:
    assert [message for _, message in layout.messages] == made_messages(60, seed=1)
    assert len(layout.chunks) == 5
    assert {message.topic for message in layout.chunks[-1][2]} > {"/gaze"}


def test_a_cut_anywhere_saves_exactly_the_whole_messages(
    tmp_path: Path, whole: Path, layout: Layout, record_property
) -> None:
    data = whole.read_bytes()
    at_boundaries = {end + by for end in layout.ends for by in (-1, 0, 1)}
    anywhere = random.Random(2).sample(range(len(data)), 80)
    cuts = sorted(cut for cut in {*at_boundaries, *anywhere} if cut < len(data))
    for cut in cuts:
        expected = [message for end, message in layout.messages if end <= cut]
        recovery, saved = try_to_recover(tmp_path, data[:cut])
        assert saved == in_order(expected), f"cut at {cut}"
        if recovery:
            assert recovery.unused_bytes == cut - max(end for end in layout.ends if end <= cut), f"cut at {cut}"
            assert not recovery.lost
            with open_bag(recovery.folder) as bag:  # totals of what is not in the bag would be taken for the truth
                assert bag.totals == {} or len(expected) == len(layout.messages)
    print(f"{len(cuts)} cuts of a file of {len(data)} bytes")
    assert len(cuts) > 400


@pytest.mark.parametrize("cut_at", [0.35, 0.6, 0.999])
def test_other_readers_open_what_was_recovered(tmp_path: Path, whole: Path, cut_at: float) -> None:
    data = whole.read_bytes()
    recovery, saved = try_to_recover(tmp_path, data[: int(len(data) * cut_at)])
    assert recovery
    with AnyReader([recovery.folder]) as reader:  # by metadata.yaml, types from the bag itself
        found = [(c.topic, log_ns, bytes(raw)) for c, log_ns, raw in reader.messages()]
        texts = [reader.deserialize(raw, c.msgtype).text for c, _, raw in reader.messages() if c.topic == "/label"]
    assert found == [(message.topic, message.log_ns, message.data) for message in saved]
    assert texts == [f"take object {5 + 20 * i}" for i in range(len(texts))]
    assert texts
    information = yaml.safe_load((recovery.folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["message_count"] == len(saved)
    assert information["relative_file_paths"] == ["bag_recovered_0.mcap"]
    hashes = [topic["topic_metadata"]["type_description_hash"] for topic in information["topics_with_message_count"]]
    assert hashes == [describe_type(type_name).type_hash for type_name in TOPICS.values()]


def test_a_cut_bag_keeps_its_session_and_says_where_it_comes_from(tmp_path: Path, whole: Path) -> None:
    data = whole.read_bytes()
    recovery, saved = try_to_recover(tmp_path, data[: len(data) // 2])
    assert recovery
    with open_bag(recovery.folder) as bag:
        assert bag.metadata == {"format": "1", **SESSION}
        assert bag.totals == {}  # they were not written yet
        records = [(name, record) for name, record in bag.records if name != METADATA_RECORD]
    counts = Counter(message.topic for message in saved)
    origin = {"source_bytes": str(len(data) // 2), "unused_bytes": str(recovery.unused_bytes)}
    assert records == [
        (RECOVERY_RECORD, {"from": str(tmp_path / "bag"), **origin}),
        *((RECOVERED_TOPIC_RECORD, {"topic": t, "saved": str(counts[t]), "lost": "0"}) for t in TOPICS),
    ]
    text = recovery_text(recovery)
    assert f"{recovery.unused_bytes} of {len(data) // 2} bytes could not be used" in text
    assert any(line.split() == ["/gaze", str(counts["/gaze"]), "0"] for line in text.splitlines())


def assert_nothing_wrong_and_the_rest_saved(
    tmp_path: Path, whole: Path, data: bytes, layout: Layout, first: int, stop: int, what: str
) -> bool:
    """For a whole file whose bytes [first, stop) were changed. Returns whether there was anything to recover."""
    everything = [message for _, message in layout.messages]
    untouched = [m for start, end, chunk in layout.chunks if end <= first or start >= stop for m in chunk]
    in_a_chunk = len(untouched) < len(everything)
    try:
        recovery, saved = try_to_recover(tmp_path, data, (whole.parent / "metadata.yaml").read_text())
    except BagIsWhole:
        # The bytes are of a text that no checksum covers: header or metadata.
        assert not in_a_chunk, what
        with open_bag(tmp_path / "bag") as bag:
            counts = {name: info.count for name, info in bag.topics.items()}
            assert counts == Counter(message.topic for message in everything), what
            found = [(name, bytes(bag.read(name).raw(i))) for name, count in counts.items() for i in range(count)]
            assert Counter(found) == Counter((message.topic, message.data) for message in everything), what
        return False
    assert not Counter(saved) - Counter(everything), f"{what}: wrong data"
    summary_hit = stop > layout.summary_start
    definitions_hit = in_a_chunk and first < layout.chunks[0][1]
    if not (summary_hit and definitions_hit):  # then nothing tells what the other chunks hold
        assert not Counter(untouched) - Counter(saved), f"{what}: something whole was not saved"
    if recovery and not summary_hit:
        # The end counts what was written.
        by_topic = Counter(message.topic for message in everything)
        assert Counter(recovery.saved) + Counter(recovery.lost) == by_topic, what
    return True


def test_changed_bits_never_become_data(tmp_path: Path, whole: Path, layout: Layout) -> None:
    data = whole.read_bytes()
    generator = random.Random(3)
    # Lengths, opcodes and ids are few among all the bytes, and do the most harm.
    near_boundaries = [end + by for end in layout.ends for by in range(12) if end + by < len(data)]
    positions = generator.sample(range(len(data)), 100) + generator.sample(near_boundaries, 150)
    recovered = 0
    for position in positions:
        bit = 1 << generator.randrange(8)
        changed = bytearray(data)
        changed[position] ^= bit
        what = f"bit {bit} of byte {position}"
        recovered += assert_nothing_wrong_and_the_rest_saved(
            tmp_path, whole, bytes(changed), layout, position, position + 1, what
        )
    print(f"{len(positions)} files with one changed bit, {recovered} of them recovered, the others whole")
    assert recovered > len(positions) // 2


def test_a_record_that_turns_into_another_kind_never_becomes_data(tmp_path: Path, whole: Path, layout: Layout) -> None:
    data = whole.read_bytes()
    outside_chunks = [end for end in layout.ends if not any(start < end < stop for start, stop, _ in layout.chunks)]
    for position in (end for end in outside_chunks if end < layout.summary_start):
        for bit in (1, 2, 128):  # 2 makes a message of a message index, 128 anything private
            changed = bytearray(data)
            changed[position] ^= bit
            what = f"opcode {data[position]} at {position} became {changed[position]}"
            at = (position, position + 1)
            assert assert_nothing_wrong_and_the_rest_saved(tmp_path, whole, bytes(changed), layout, *at, what), what


def test_a_message_of_another_time_discredits_a_chunk_without_checksum(
    tmp_path: Path, whole: Path, layout: Layout
) -> None:
    start, stop, of_chunk = layout.chunks[2]
    data = bytearray(whole.read_bytes()[: stop - 1])
    before = [message for _, _, chunk in layout.chunks[:2] for message in chunk]
    assert try_to_recover(tmp_path, bytes(data))[1] == in_order([*before, *of_chunk[:-1]])
    position = data.index(struct.pack("<Q", of_chunk[3].log_ns), start)
    data[position + 6] ^= 64
    assert try_to_recover(tmp_path, bytes(data))[1] == in_order(before)


@pytest.mark.parametrize("filling", ["zeros", "noise"])
def test_damage_in_the_middle_costs_only_the_chunks_it_touches(
    tmp_path: Path, whole: Path, layout: Layout, filling: str
) -> None:
    data = whole.read_bytes()
    generator = random.Random(4)
    ranges = [(start, stop) for start, stop, _ in layout.chunks]
    for _ in range(100):
        start = generator.randrange(len(data))
        ranges.append((start, min(start + generator.choice([1, 8, 100, 4096]), len(data))))
    for start, stop in ranges:
        hole = bytes(stop - start) if filling == "zeros" else generator.randbytes(stop - start)
        changed = data[:start] + hole + data[stop:]
        if changed != data:
            what = f"bytes {start} to {stop}"
            assert_nothing_wrong_and_the_rest_saved(tmp_path, whole, changed, layout, start, stop, what)
    print(f"{len(ranges)} files with a hole of {filling}")


def test_a_cut_bag_with_a_damaged_chunk_counts_what_its_index_names(
    tmp_path: Path, whole: Path, layout: Layout
) -> None:
    data = bytearray(whole.read_bytes())
    start, stop, of_chunk = layout.chunks[1]
    data[(start + stop) // 2] ^= 1
    cut = layout.chunks[3][0]
    recovery, saved = try_to_recover(tmp_path, bytes(data[:cut]))
    assert recovery
    assert saved == in_order([*layout.chunks[0][2], *layout.chunks[2][2]])
    assert recovery.lost == Counter(message.topic for message in of_chunk)
    assert recovery.unused_bytes == stop - start


def test_zeros_behind_a_power_cut_never_become_data(tmp_path: Path, whole: Path, layout: Layout) -> None:
    # The file has its full length already, and from some sector on nothing was written.
    data = whole.read_bytes()
    cuts = range(512, len(data), 512)
    more_than_whole_chunks = 0
    for cut in cuts:
        _, saved = try_to_recover(tmp_path, data[:cut] + bytes(len(data) - cut))
        before = [message for end, message in layout.messages if end <= cut]
        assert not Counter(saved) - Counter(before), f"zeros from {cut}"
        whole_chunks = [message for _, stop, chunk in layout.chunks if stop <= cut for message in chunk]
        assert not Counter(whole_chunks) - Counter(saved), f"zeros from {cut}"
    # And the length ends inside the chunk whose second half is missing.
    start, stop, of_chunk = layout.chunks[2]
    for cut in range(-(-start // 512) * 512, stop - 512, 512):
        _, saved = try_to_recover(tmp_path, data[:cut] + bytes(stop - 10 - cut))
        before = [message for end, message in layout.messages if end <= cut]
        assert not Counter(saved) - Counter(before), f"zeros from {cut}"
        assert len(before) - len(saved) <= 1  # one whose last bytes are zeros and reach to the sector's end
        more_than_whole_chunks += any(message in of_chunk for message in saved)
    assert more_than_whole_chunks


class TestFilesOfOthers:
    """mcap.Writer with other settings: compressed, without chunks, without an index, with what is not ROS 2."""

    def write(self, path: Path, messages: list[Stored], **settings) -> None:
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as stream:
            writer = Writer(stream, **settings)
            writer.start(profile="ros2")
            channels = {}
            for topic, type_name in TOPICS.items():
                schema = writer.register_schema(type_name, "ros2msg", describe_type(type_name).definition.encode())
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            for m in messages:
                writer.add_message(channels[m.topic], m.log_ns, m.data, m.publish_ns, m.sequence)
            writer.finish()

    @pytest.mark.parametrize("compression", [CompressionType.ZSTD, CompressionType.LZ4])
    def test_compressed(self, tmp_path: Path, compression: CompressionType) -> None:
        messages = made_messages(60, seed=5)
        file = tmp_path / "whole" / "theirs.mcap"
        self.write(file, messages, compression=compression, chunk_size=4096)
        data = file.read_bytes()
        with pytest.raises(BagIsWhole):
            recover(file)
        with file.open("rb") as stream:
            chunks = make_reader(stream).get_summary().chunk_indexes
        assert len(chunks) > 3
        generator = random.Random(6)
        for cut in generator.sample(range(len(data)), 60):
            _, saved = try_to_recover(tmp_path, data[:cut])
            assert saved == messages[: len(saved)]
            complete = [c for c in chunks if c.chunk_start_offset + c.chunk_length <= cut]
            newest_ns = max((c.message_end_time for c in complete), default=0)
            assert len(saved) >= sum(message.log_ns <= newest_ns for message in messages), f"cut at {cut}"
        for _ in range(60):
            changed = bytearray(data)
            changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            try:
                listed = "rosbag2_bagfile_information: {relative_file_paths: [bag_0.mcap]}"
                _, saved = try_to_recover(tmp_path, bytes(changed), listed)
            except BagIsWhole:
                continue
            assert not Counter(saved) - Counter(messages)

    @pytest.mark.parametrize(
        "settings",
        [
            {"use_chunking": False},
            {"index_types": IndexType.NONE},
            {"index_types": IndexType.CHUNK},
            {"index_types": IndexType.ALL, "repeat_channels": False, "repeat_schemas": False, "use_statistics": False}
            | {"use_summary_offsets": False, "enable_crcs": False, "cut": True},
        ],
        ids=["no chunks", "no index", "no message index", "no checksums, cut"],
    )
    def test_an_index_is_written_where_there_is_none(self, tmp_path: Path, settings: dict) -> None:
        messages = made_messages(40, seed=7)
        file = tmp_path / "whole" / "theirs.mcap"
        settings = dict(settings)
        cut = settings.pop("cut", False)
        self.write(file, messages, compression=CompressionType.NONE, **settings)
        data = file.read_bytes()
        recovery, saved = try_to_recover(tmp_path, data[:-20] if cut else data)
        assert recovery
        assert saved == messages
        assert not recovery.lost

    def test_a_topic_that_is_no_ros_2_is_counted_as_lost(self, tmp_path: Path) -> None:
        file = tmp_path / "mixed.mcap"
        with file.open("wb") as stream:
            writer = Writer(stream)
            writer.start()
            schema = writer.register_schema(LABEL, "ros2msg", describe_type(LABEL).definition.encode())
            label = writer.register_channel("/label", "cdr", schema)
            text = writer.register_channel("/json", "json", 0)
            for m in made_messages(60, seed=8):
                writer.add_message(label if m.topic == "/label" else text, m.log_ns, m.data, m.publish_ns)
            writer.flush()
        recovery = recover(file)
        assert recovery.folder == tmp_path / "mixed_recovered"
        assert recovery.saved == {"/label": 3}
        assert recovery.lost == {"/json": 72}

    def test_types_that_are_not_installed_are_carried_over(self, tmp_path: Path) -> None:
        file = tmp_path / "unknown.mcap"
        definition = b"std_msgs/Header header\nuint8 level\n"
        with file.open("wb") as stream:
            writer = Writer(stream)
            writer.start()
            schema = writer.register_schema("their_msgs/msg/Level", "ros2msg", definition)
            channel = writer.register_channel(
                "/level", "cdr", schema, {"offered_qos_profiles": "- {history: 2, depth: 7}", "topic_type_hash": "X"}
            )
            writer.add_message(channel, START_NS, b"\0\1\0\0", START_NS, 9)
            writer.flush()
        with (recover(file).folder / "unknown_recovered_0.mcap").open("rb") as stream:
            schema_read, channel_read, message = next(make_reader(stream).iter_messages())
        assert (schema_read.name, schema_read.data) == ("their_msgs/msg/Level", definition)
        assert channel_read.metadata["topic_type_hash"] == "X"
        profile = DEFAULT_QOS | {"history": "keep_all", "depth": 7}
        assert yaml.safe_load(channel_read.metadata["offered_qos_profiles"]) == [profile]
        assert (message.data, message.sequence) == (b"\0\1\0\0", 9)


def test_a_split_bag_is_recovered_as_one(tmp_path: Path) -> None:
    messages = made_messages(60, seed=9)
    folder = tmp_path / "split"
    writer = BagWriter(folder, SESSION, Split(max_s=0.1))  # of 0.3 s
    for name, type_name in TOPICS.items():
        writer.add_topic(name, type_name)
    for message in messages:
        writer.write(message.topic, message.data, message.log_ns, message.publish_ns, message.sequence)
    writer.close()
    files = sorted(folder.glob("*.mcap"))
    assert len(files) == 3
    with pytest.raises(BagIsWhole):
        recover(folder)
    data = files[2].read_bytes()
    layout = layout_of(data)
    files[2].write_bytes(data[: layout.messages[-2][0]])
    recovery = recover(folder)
    assert recovery.source_bytes == sum(file.stat().st_size for file in files)
    assert stored_in(recovery.folder / "split_recovered_0.mcap") == in_order(messages[:-1])

    # A kill between two files leaves the new one empty, and metadata.yaml without it.
    files[2].write_bytes(b"")
    recovery = recover(folder, tmp_path / "again")
    assert stored_in(recovery.folder / "again_0.mcap") == in_order(messages[: -len(layout.messages)])


def test_without_metadata_yaml_a_folder_is_not_whole_and_a_file_is(tmp_path: Path, whole: Path, layout: Layout) -> None:
    folder = tmp_path / "bag"
    shutil.copytree(whole.parent, folder)
    with pytest.raises(BagIsWhole, match="is whole; nothing to recover"):
        recover(folder)
    (folder / "metadata.yaml").unlink()
    with pytest.raises(BagIsWhole):
        recover(folder / "bag_0.mcap")
    assert not (tmp_path / "bag_recovered").exists()
    recovery = recover(folder)
    assert recovery.unused_bytes == 0
    with open_bag(recovery.folder) as bag:
        assert bag.totals["/gaze"] == TopicTotals(62, 60, 2)  # carried over: everything that it counts was saved


def test_what_was_lost_is_in_the_totals_of_a_bag_that_had_them(tmp_path: Path, whole: Path, layout: Layout) -> None:
    data = bytearray(whole.read_bytes())
    _, stop, of_chunk = layout.chunks[2]
    data[stop - 5] ^= 255
    recovery, _ = try_to_recover(tmp_path, bytes(data))
    assert recovery
    gone = sum(message.topic == "/gaze" for message in of_chunk)
    with open_bag(recovery.folder) as bag:
        assert bag.totals["/gaze"] == TopicTotals(62, 60 - gone, 2 + gone)


def test_a_killed_writer_loses_only_what_it_had_not_flushed(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from test_bag_recover import TOPICS, SESSION, made_messages
from gaze_vlm_ros.bags.writer import BagWriter
writer = BagWriter(Path(sys.argv[1]), SESSION)
for name, type_name in TOPICS.items():
    writer.add_topic(name, type_name)
for i, message in enumerate(made_messages(2000, seed=10)):
    writer.write(*message[:1], message.data, message.log_ns, message.publish_ns, message.sequence)
    if i % 50 == 49:
        writer.flush()
        print(i + 1, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "killed")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}"},
    )
    assert process.stdout
    while (flushed := int(process.stdout.readline())) < 500:
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    recovery = recover(tmp_path / "killed")
    saved = stored_in(recovery.folder / "killed_recovered_0.mcap")
    assert len(saved) >= flushed
    assert saved == in_order(made_messages(2000, seed=10)[: len(saved)])
    with open_bag(recovery.folder) as bag:
        assert bag.metadata["person"] == "Zoë"


def test_memory_does_not_grow_with_the_bag(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    picture = np.random.default_rng(11).integers(0, 256, 500_000, np.uint8)
    image = serialize(message_class(RAW)(stamped(START_NS), 500, 1000, "mono8", 0, 1000, picture), RAW)
    writer = BagWriter(folder, SESSION)
    writer.add_topic("/raw", RAW)
    for i in range(120):
        writer.write("/raw", image, START_NS + i)
    writer.close()
    file = folder / "long_0.mcap"
    os.truncate(file, file.stat().st_size - 700_000)
    tracemalloc.start()
    recovery = recover(folder)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recovery.saved["/raw"] >= 118
    assert peak_bytes < 12_000_000  # a few chunks of 1.5 MB, of a file of 60 MB


def test_bad_places_are_named_and_nothing_is_left_behind(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(BagNotFound, match="nowhere"):
        recover(tmp_path / "nowhere")
    with pytest.raises(NotABag, match=r"no \.mcap file"):
        recover(tmp_path)
    text = tmp_path / "letter.mcap"
    text.write_text("Dear robot, " * 100)
    with pytest.raises(NotABag, match="not an MCAP file"):
        recover(text)
    empty = tmp_path / "empty.mcap"
    empty.touch()
    with pytest.raises(NothingToSave, match="no whole message"):
        recover(empty)
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "cut_0.mcap").write_bytes(whole.read_bytes()[:-100])
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(BagExists, match="taken"):
        recover(cut, taken)
    assert list(taken.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"letter.mcap", "empty.mcap", "cut", "taken"}
    assert recover(cut, tmp_path / "new" / "place").folder == tmp_path / "new" / "place"
    with pytest.raises(BagExists):
        recover(cut, tmp_path / "new" / "place")


def test_random_bytes_behind_the_magic_are_one_clear_error(tmp_path: Path) -> None:
    generator = random.Random(12)
    for length in (0, 1, 9, 41, 100, 5000, 200_000):
        file = tmp_path / "noise.mcap"
        file.write_bytes(MAGIC + generator.randbytes(length))
        with pytest.raises(GazeVlmError):
            recover(file)
        assert [path.name for path in tmp_path.iterdir()] == ["noise.mcap"]
