"""Bags: written by us, read by others; written by others, read by us; damaged."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
import zstandard
from mcap.reader import make_reader
from mcap.writer import Writer
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter

from gaze_vlm_ros.bags.errors import BagDamaged, BagNotFound, NotABag
from gaze_vlm_ros.bags.message_types import UnknownMessageType, describe_type, known_types, message_class
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.session_records import TopicTotals
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagExists, BagWriter, Split

GAZE = "gaze_vlm_msgs/msg/GazeStamped"
LABEL = "gaze_vlm_msgs/msg/ActionLabel"
START_NS = 1_700_000_000_000_000_000


def header(stamp_ns: int):
    stamp = message_class("builtin_interfaces/msg/Time")(*split_ns(stamp_ns))
    return message_class("std_msgs/msg/Header")(stamp, "camera")


def gaze(stamp_ns: int, x: float):
    no_time = message_class("builtin_interfaces/msg/Time")(0, 0)
    return message_class(GAZE)(header(stamp_ns), x, 2 * x, 640, 480, 0.9, 2, 1, no_time)


def write_gaze_bag(folder: Path, count: int = 500) -> Path:
    writer = BagWriter(folder, {"session": "s1", "person": "p1"})
    writer.add_topic("/gaze", GAZE)
    writer.add_topic("/label", LABEL)
    for i in range(count):
        writer.write_message("/gaze", gaze(START_NS + i * 5_000_000, float(i)), START_NS + i * 5_000_000 + 1_000_000)
        if i % 100 == 0:
            label = message_class(LABEL)(header(START_NS + i * 5_000_000), f"action {i}", "do", "")
            writer.write_message("/label", label, START_NS + i * 5_000_000)
            writer.flush()
    writer.close({"/gaze": TopicTotals(count + 3, count, 3), "/label": TopicTotals(5, 5, 0)})
    return folder


@pytest.fixture
def bag_folder(tmp_path: Path) -> Path:
    return write_gaze_bag(tmp_path / "session_1")


def test_what_was_written_is_read_back(bag_folder: Path) -> None:
    with open_bag(bag_folder) as bag:
        assert bag.metadata["person"] == "p1"
        assert bag.totals["/gaze"] == TopicTotals(503, 500, 3)
        assert bag.topics["/gaze"].count == 500
        np.testing.assert_array_equal(bag.read("/gaze").stamps_ns, START_NS + np.arange(500) * 5_000_000)
        np.testing.assert_array_equal(bag.read("/gaze").arrivals_ns, START_NS + np.arange(500) * 5_000_000 + 1_000_000)
        assert bag.read("/gaze").message(321).y == 642.0
        assert bag.read("/gaze").sequence(321) == 321
        in_order = [(topic, log_ns) for topic, _, log_ns in bag.messages()]
        assert len(in_order) == 505
        assert [log_ns for _, log_ns in in_order] == sorted(log_ns for _, log_ns in in_order)
        start_ns, stop_ns = START_NS + 1_000_000, START_NS + 11_000_000
        assert [message.x for _, message, _ in bag.messages(["/gaze"], start_ns, stop_ns)] == [0.0, 1.0]


def test_other_readers_open_it(bag_folder: Path) -> None:
    with AnyReader([bag_folder]) as reader:  # by metadata.yaml, types from the bag itself
        xs = [reader.deserialize(data, c.msgtype).x for c, _, data in reader.messages() if c.topic == "/gaze"]
    assert xs == [float(i) for i in range(500)]
    with (bag_folder / "session_1_0.mcap").open("rb") as stream:
        messages = make_reader(stream, decoder_factories=[DecoderFactory()]).iter_decoded_messages(topics=["/label"])
        assert [message.text for _, _, _, message in messages] == [f"action {i}" for i in range(0, 500, 100)]


def test_metadata_is_what_rosbag2_writes(bag_folder: Path) -> None:
    information = yaml.safe_load((bag_folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["version"] == 9
    assert information["storage_identifier"] == "mcap"
    assert information["message_count"] == 505
    assert information["relative_file_paths"] == ["session_1_0.mcap"]
    topic = information["topics_with_message_count"][0]["topic_metadata"]
    assert topic["type_description_hash"] == describe_type(GAZE).type_hash
    offered = topic["offered_qos_profiles"][0]
    assert {key: offered[key] for key in ("history", "depth", "reliability", "durability", "liveliness")} == {
        "history": "keep_last", "depth": 10, "reliability": "reliable", "durability": "volatile",
        "liveliness": "automatic",
    }  # fmt: skip


def test_type_hash_is_that_of_the_built_messages() -> None:
    # rosidl puts the hash of the definition it was built from into the installed package.
    import json
    import sys

    from gaze_vlm_msgs.msg import ActionPrediction

    built = json.loads(Path(sys.prefix, "share/gaze_vlm_msgs/msg/ActionPrediction.json").read_text())
    assert ActionPrediction.get_fields_and_field_types()["candidates"] == "sequence<gaze_vlm_msgs/ActionCandidate>"
    assert built["type_hashes"][0]["hash_string"] == describe_type("gaze_vlm_msgs/msg/ActionPrediction").type_hash


@pytest.mark.parametrize("compressed", [False, True])
def test_a_bag_of_rosbags_is_read(tmp_path: Path, compressed: bool) -> None:
    folder = tmp_path / "theirs"
    writer = RosbagsWriter(folder, version=9, storage_plugin=StoragePlugin.MCAP)
    if compressed:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode

        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    describe_type(GAZE)
    with writer:
        connection = writer.add_connection("/gaze", GAZE, typestore=known_types())
        for i in range(50):
            data = known_types().serialize_cdr(gaze(START_NS + i, float(i)), GAZE)
            writer.write(connection, START_NS + i, data)
    with open_bag(folder) as bag:
        assert [bag.read("/gaze").message(i).x for i in range(50)] == [float(i) for i in range(50)]
        assert bag.metadata == {}


def test_nothing_is_overwritten(bag_folder: Path) -> None:
    before = (bag_folder / "session_1_0.mcap").read_bytes()
    with pytest.raises(BagExists, match="session_1"):
        BagWriter(bag_folder, {})
    assert (bag_folder / "session_1_0.mcap").read_bytes() == before


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BagNotFound, match="nowhere"):
        open_bag(tmp_path / "nowhere")
    with pytest.raises(NotABag, match=r"no \.mcap file"):
        open_bag(tmp_path)
    text = tmp_path / "letter.mcap"
    text.write_text("Dear robot, " * 10)
    with pytest.raises(NotABag, match="magic"):
        open_bag(text)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_bag_is_refused_with_the_command_that_saves_it(bag_folder: Path, kept: float) -> None:
    file = bag_folder / "session_1_0.mcap"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(BagDamaged, match="gaze-vlm bag recover"):
        open_bag(bag_folder)


def test_a_changed_byte_is_noticed(bag_folder: Path) -> None:
    file = bag_folder / "session_1_0.mcap"
    data = bytearray(file.read_bytes())
    position = data.index(b"action 200")
    data[position] ^= 1
    file.write_bytes(data)
    with open_bag(bag_folder) as bag, pytest.raises(BagDamaged, match="checksum"):
        list(bag.messages(["/label"]))


def test_a_file_without_an_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain.mcap"
    with path.open("wb") as stream:
        writer = Writer(stream, use_chunking=False)
        writer.start()
        schema = writer.register_schema(GAZE, "ros2msg", describe_type(GAZE).definition.encode())
        channel = writer.register_channel("/gaze", "cdr", schema)
        writer.add_message(channel, START_NS, b"\0" * 8, START_NS)
        writer.finish()
    with pytest.raises(NotABag, match="no index"):
        open_bag(path)


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(UnknownMessageType, match="no_such_msgs/msg/Thing"):
        describe_type("no_such_msgs/msg/Thing")


@pytest.mark.parametrize("split", [Split(max_bytes=300_000), Split(max_s=1.0)])
def test_a_split_bag_is_read_as_one(tmp_path: Path, split: Split) -> None:
    folder = tmp_path / "bag"
    writer = BagWriter(folder, {"person": "ada"}, split)
    writer.add_topic("/gaze", "gaze_vlm_msgs/msg/GazeStamped")
    writer.add_topic("/noise", "std_msgs/msg/String")
    string = message_class("std_msgs/msg/String")
    for number in range(400):
        log_ns = START_NS + number * 10_000_000
        writer.write_message("/noise", string("x" * 2000 + str(number)), log_ns)
        if number % 50 == 49:
            writer.flush()
    writer.close()
    files = sorted(folder.glob("*.mcap"), key=lambda path: int(path.stem.rpartition("_")[2]))
    assert len(files) >= 3
    # A file ends with the first flush past max_bytes, or with the last message within max_s.
    sizes = [path.stat().st_size for path in files[:-1]]
    assert all(split.max_bytes <= size < split.max_bytes + 150_000 for size in sizes) or split.max_s
    with open_bag(folder) as bag:
        assert [int(message.data[2000:]) for message in bag.read("/noise").messages()] == list(range(400))
        assert bag.totals["/noise"] == TopicTotals(400, 400, 0)
        assert bag.metadata["person"] == "ada"
    described = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert described["relative_file_paths"] == [path.name for path in files]
    counts = [file["message_count"] for file in described["files"]]
    assert sum(counts) == described["message_count"] == 400
    assert counts == [100] * 4 or split.max_bytes
    with AnyReader([folder]) as reader:
        assert sum(1 for _ in reader.messages()) == 400
    # Each file but the last is a bag by itself, with the metadata: what is closed survives whatever comes later.
    with open_bag(files[0]) as bag:
        assert bag.metadata["person"] == "ada"
        assert bag.topics["/noise"].count > 0


def test_what_is_closed_before_a_kill_is_described(tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    writer = BagWriter(folder, {}, Split(max_s=1.0))
    writer.add_topic("/noise", "std_msgs/msg/String")
    for number in range(25):
        writer.write_message("/noise", message_class("std_msgs/msg/String")("x"), START_NS + number * 100_000_000)
    # No close: as after a kill.
    described = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert described["relative_file_paths"] == ["bag_0.mcap", "bag_1.mcap"]
    assert described["message_count"] == 20


def test_files_that_a_mac_leaves_on_a_disk_are_no_part_of_a_bag(tmp_path: Path) -> None:
    bag = write_gaze_bag(tmp_path / "bag", 20)
    (bag / "._bag_0.mcap").write_bytes(b"\x00\x05\x16\x07attributes")
    with open_bag(bag) as read:
        assert len(read.read("/gaze")) == 20


def test_a_file_that_metadata_names_and_that_is_not_there_is_named(tmp_path: Path) -> None:
    bag = write_gaze_bag(tmp_path / "bag", 20)
    metadata = bag / "metadata.yaml"
    whole = metadata.read_text()
    metadata.write_text(whole.replace("bag_0.mcap", "bag_1.mcap"))
    with pytest.raises(BagDamaged, match=r"metadata.yaml names bag_1.mcap, and there is no such file"):
        open_bag(bag)
    metadata.write_text("no: [yaml")
    open_bag(bag).close()


def test_a_schema_that_cannot_be_parsed_costs_its_own_topic_alone(tmp_path: Path) -> None:
    with (tmp_path / "bag.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start(profile="ros2")
        for topic, name, text in (
            ("/odd", "odd_msgs/msg/Odd", b"float64 temp\xe9rature\n"),
            ("/worse", "odd_msgs/msg/Worse", b"this is no definition ((("),
            ("/label", LABEL, describe_type(LABEL).definition.encode()),
        ):
            schema = writer.register_schema(name, "ros2msg", text)
            channel = writer.register_channel(topic, "cdr", schema)
            data = bytes(8)
            if topic == "/label":
                data = bytes(known_types().serialize_cdr(message_class(LABEL)(header(5), "stir", "", ""), LABEL))
            writer.add_message(channel, START_NS, data, START_NS)
        writer.finish()
    with open_bag(tmp_path / "bag.mcap") as bag:
        assert [message.text for message in bag.read("/label").messages()] == ["stir"]
        assert set(bag.topics) == {"/odd", "/worse", "/label"}


@pytest.mark.parametrize("suffix", [".zstd", ".zst"])
def test_files_that_are_compressed_as_a_whole_are_named_with_the_command(bag_folder: Path, suffix: str) -> None:
    """rosbag2's `compression_mode: FILE`. A part that is still compressed is never left out."""
    file, packed = bag_folder / "session_1_0.mcap", bag_folder / f"session_1_0.mcap{suffix}"
    metadata = (bag_folder / "metadata.yaml").read_text()
    (bag_folder / "metadata.yaml").write_text(metadata.replace(file.name, packed.name))
    packed.write_bytes(zstandard.compress(file.read_bytes()))
    assert open_bag(bag_folder).topics["/gaze"].count == 500  # decompressed, and both kept
    other = packed.rename(bag_folder / f"session_1_1.mcap{suffix}")
    for place in (bag_folder, other):
        with pytest.raises(NotABag, match=rf"compressed as a whole; .*`zstd -d {other}`"):
            open_bag(place)
    other.unlink()
    assert open_bag(bag_folder).topics["/gaze"].count == 500  # decompressed, and metadata.yaml left as it was


@pytest.mark.parametrize(
    "content",
    [
        "[" * 5000,
        "rosbag2_bagfile_information: {relative_file_paths: [&a [x, x], [*a, *a]]}",
        'rosbag2_bagfile_information: {relative_file_paths: ["\\ud800", "\\0"]}',
        f"rosbag2_bagfile_information: {{relative_file_paths: {'x' * 5000}}}",
        "x" * (17 << 20),
    ],
)
def test_metadata_that_cannot_be_read_costs_no_message(bag_folder: Path, content: str) -> None:
    (bag_folder / "metadata.yaml").write_text(content)
    assert open_bag(bag_folder).topics["/gaze"].count == 500


def test_a_name_that_no_file_can_have_is_missing(bag_folder: Path) -> None:
    named = "x" * 5000
    (bag_folder / "metadata.yaml").write_text(f"rosbag2_bagfile_information: {{relative_file_paths: [{named}]}}")
    with pytest.raises(BagDamaged, match=r"metadata\.yaml names x+, and there is no such file"):
        open_bag(bag_folder)


def test_a_bag_that_is_cut_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """In a process of its own, because reading pages that are gone from a mapped file ends the process."""
    (path,) = write_gaze_bag(tmp_path / "long", count=5000).glob("*.mcap")
    program = f"""
import os
from gaze_vlm_ros.bags.errors import BagDamaged
from gaze_vlm_ros.bags.reader import open_bag
with open_bag({str(path)!r}) as bag:
    gaze = bag.read("/gaze")
    gaze.message(0)
    os.truncate({str(path)!r}, 5000)
    try:
        for message in gaze.messages():
            pass
    except BagDamaged as error:
        print(error)
"""
    size = path.stat().st_size
    assert size > 3 * 4096
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"was cut while it was being read: 5000 of {size} bytes are left" in done.stdout
