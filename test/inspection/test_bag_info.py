"""What `gaze-vlm bag info` says of bags whose content is known, good and bad."""

from __future__ import annotations

import inspect
import json
import math
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from mcap.writer import Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter

from gaze_vlm_ros.bags.errors import BagDamaged, NotABag
from gaze_vlm_ros.bags.message_types import describe_type, known_types, message_class
from gaze_vlm_ros.bags.recover import recover
from gaze_vlm_ros.bags.session_records import TopicTotals
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.gaze.distribution import aggregate
from gaze_vlm_ros.gaze.summary import MIN_CONFIDENCE, GazeSummary
from gaze_vlm_ros.inspection.check import check_bag
from gaze_vlm_ros.inspection.info import FRAMES_TRIED, LABELS_SHOWN, describe, describe_as_json, summarize
from gaze_vlm_ros.inspection.info_text import summary_text
from gaze_vlm_ros.inspection.summary import BagSummary, CameraSummary, LabelSummary
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.terminal.text import instant_text
from gaze_vlm_ros.video.images import encode_jpeg
from gaze_vlm_ros.windows.settings import WindowSettings

RAW, JPEG = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
GAZE, LABEL = "gaze_vlm_msgs/msg/GazeStamped", "gaze_vlm_msgs/msg/ActionLabel"
POINT = "geometry_msgs/msg/PointStamped"
CAMERA_TOPIC = "/camera/image_raw/compressed"
START_NS = 1_790_000_000_123_000_000
WORN_NO, WORN_YES = 1, 2
FIXATION, SACCADE, BLINK = 1, 2, 3


def stamped(stamp_ns: int):
    time = message_class("builtin_interfaces/msg/Time")(*split_ns(stamp_ns))
    return message_class("std_msgs/msg/Header")(time, "scene")


def gaze(stamp_ns: int, x: float = 5.0, confidence: float = 0.9, worn: int = WORN_YES, eye: int = FIXATION):
    return message_class(GAZE)(stamped(stamp_ns), x, 3.0, 16, 12, confidence, worn, eye, stamped(0).stamp)


def jpeg(stamp_ns: int, data: bytes | None = None):
    data = data if data is not None else encode_jpeg(np.zeros((12, 16, 3), np.uint8))
    return message_class(JPEG)(stamped(stamp_ns), "jpeg", np.frombuffer(data, np.uint8))


def label(stamp_ns: int, text: str):
    return message_class(LABEL)(stamped(stamp_ns), text, "", "")


def write_known_bag(folder: Path) -> Path:
    """Camera at 10 Hz with one frame of 30 missing, 100 Hz gaze of every kind, labels, a topic without a header."""
    metadata = {"session": "s7", "person": "p1", "task": "tea", "scene": "kitchen", "tracker": "Neon"}
    writer = BagWriter(folder, metadata)
    types = {CAMERA_TOPIC: JPEG, "/gaze": GAZE, "/label": LABEL, "/note": "std_msgs/msg/String", "/imu": GAZE}
    for name, type_name in types.items():
        writer.add_topic(name, type_name if name != "/imu" else "sensor_msgs/msg/Imu")
    arrival_ns = 40_000_000  # after acquisition
    for i in range(30):
        if i != 17:
            writer.write_message(CAMERA_TOPIC, jpeg(START_NS + i * 100_000_000), START_NS + i * 10**8 + arrival_ns)
    for i in range(300):
        kinds = {
            3: {"worn": WORN_NO},
            4: {"confidence": 0.59},
            5: {"confidence": math.nan},  # not given: as good as any
            6: {"x": 16.0},  # the first column that is not there
            7: {"x": math.nan},
            8: {"eye": SACCADE, "worn": WORN_NO},
            9: {"eye": BLINK},
            10: {"worn": 0},  # unknown
        }
        stamp_ns = START_NS + i * 10_000_000
        writer.write_message("/gaze", gaze(stamp_ns, **kinds.get(i, {})), stamp_ns + arrival_ns)
    for i, text in enumerate(["pour", "stir", "pour", "", "pour"]):
        writer.write_message("/label", label(START_NS + i * 500_000_000, text), START_NS + i * 500_000_000)
    for i in range(3):
        note = message_class("std_msgs/msg/String")("hello")
        writer.write_message("/note", note, START_NS + i * 10**9)
    counts = {CAMERA_TOPIC: (29, 1), "/gaze": (300, 4), "/label": (5, 0), "/note": (3, 0), "/imu": (0, 0)}
    writer.close({name: TopicTotals(written, written, lost) for name, (written, lost) in counts.items()})
    return folder


@pytest.fixture(scope="module")
def known_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_known_bag(tmp_path_factory.mktemp("bags") / "s7")


@pytest.fixture(scope="module")
def summary(known_bag: Path) -> BagSummary:
    return summarize(known_bag)


def test_topics(summary: BagSummary) -> None:
    camera, samples, labels, note, imu = summary.topics
    assert (camera.messages, camera.stamped, camera.rate_hz, camera.longest_gap_s) == (29, True, 10.0, 0.2)
    assert (camera.first_ns, camera.last_ns) == (START_NS, START_NS + 2_900_000_000)  # acquisition, not arrival
    assert (camera.received, camera.written, camera.lost) == (29, 29, 1)
    assert (samples.rate_hz, samples.longest_gap_s, samples.lost) == (100.0, 0.01, 4)
    assert (labels.messages, labels.rate_hz) == (5, 2.0)
    assert (note.stamped, note.rate_hz, note.first_ns) == (False, 1.0, START_NS)
    assert (imu.messages, imu.rate_hz, imu.first_ns, imu.longest_gap_s, imu.lost) == (0, None, None, None, 0)
    assert summary.lost == 5


def test_whole_bag(summary: BagSummary, known_bag: Path) -> None:
    assert summary.start_ns == START_NS
    assert summary.duration_s == pytest.approx(2.99 + 0.04)
    assert summary.size_bytes == (known_bag / "s7_0.mcap").stat().st_size
    assert summary.files == 1
    assert summary.metadata["scene"] == "kitchen"
    assert summary.camera == CameraSummary(16, 12, "jpeg")
    assert summary.labels == LabelSummary(4, 1, 2, [("pour", 3), ("stir", 1)])


def test_gaze_counts_every_reason_and_agrees_with_what_training_uses(summary: BagSummary, known_bag: Path) -> None:
    assert summary.gaze == GazeSummary(
        300, 300 - 6, not_worn=2, unsure=1, off_image=2, blink_or_saccade=2, no_estimate=1
    )
    session = load_session(known_bag)
    assert session.gaze
    used, _ = aggregate(session.gaze, session.frames, at=len(session.frames) - 1, window_s=10.0)
    at_or_before_last_frame = int(np.count_nonzero(session.gaze.stamps_ns <= session.frames.stamps_ns[-1]))
    assert len(used) == summary.gaze.valid - (300 - at_or_before_last_frame)
    assert inspect.signature(aggregate).parameters["min_confidence"].default == MIN_CONFIDENCE


def test_text(summary: BagSummary, known_bag: Path) -> None:
    lines = summary_text(summary).splitlines()
    rows = {line.split()[0]: line for line in lines if line}
    assert rows["person"].split() == ["person", "p1"]
    assert rows["start"].split(maxsplit=1)[1].startswith("2026-09-21 14:13:20.123 UTC (")
    assert rows[CAMERA_TOPIC].split() == [
        CAMERA_TOPIC, JPEG, "29", "10.00", "Hz", "2.900", "s", "0.200", "s", "29", "29", "1",
    ]  # fmt: skip
    assert rows["/imu"].split() == ["/imu", "sensor_msgs/msg/Imu", "0", "-", "-", "-", "0", "0", "0"]
    assert "/note (arrival)" in rows["/note"]
    assert rows["camera"].split(maxsplit=1)[1] == f"{CAMERA_TOPIC}: 16x12, jpeg"
    assert "98.0% of 300 samples valid; not worn 2, confidence below 0.6 1, off the image 2" in rows["gaze"]
    assert rows["labels"].endswith("4 labels, 2 distinct: pour (3), stir (1)")
    assert lines[-1].split(maxsplit=1)[1] == "5 messages; 337 were received"
    assert describe(known_bag) == summary_text(summary)


def test_json_holds_the_same_figures(summary: BagSummary, known_bag: Path) -> None:
    read = json.loads(describe_as_json(known_bag))
    assert read["topics"][0]["lost"] == 1
    assert read["gaze"] == {
        "samples": 300, "valid": 294, "not_worn": 2, "unsure": 1, "off_image": 2, "blink_or_saccade": 2,
        "no_estimate": 1,
    }  # fmt: skip
    assert read["labels"]["most_frequent"] == [["pour", 3], ["stir", 1]]
    assert (read["start_ns"], read["lost"]) == (summary.start_ns, 5)
    assert read["label_role"] == {"topic": "/label", "reason": ""}


def test_an_empty_bag_and_one_of_other_topics(tmp_path: Path) -> None:
    BagWriter(tmp_path / "empty", {}).close()
    text = describe(tmp_path / "empty")
    assert "no message" in text
    assert "no topics" in text
    assert "camera     none: no topic carries sensor_msgs/msg/CompressedImage or sensor_msgs/msg/Image" in text

    writer = BagWriter(tmp_path / "silent", {})
    writer.add_topic(CAMERA_TOPIC, JPEG)
    writer.add_topic("/gaze", GAZE)
    writer.close()
    summary = summarize(tmp_path / "silent")
    assert summary.camera_role.reason == f"{CAMERA_TOPIC} has no message"
    assert summary.gaze is None
    json.loads(describe_as_json(tmp_path / "silent"))

    writer = BagWriter(tmp_path / "one", {})
    writer.add_topic("/gaze", GAZE)
    writer.write_message("/gaze", gaze(START_NS), START_NS)
    writer.close()
    summary = summarize(tmp_path / "one")
    assert (summary.topics[0].rate_hz, summary.topics[0].longest_gap_s, summary.duration_s) == (None, None, 0.0)
    assert summary.gaze == GazeSummary(1, 1, 0, 0, 0, 0, 0)  # without any camera


def test_what_a_trainer_could_not_choose_is_said(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "two", {})
    for name in ("/left/image", "/right/image"):
        writer.add_topic(name, RAW)
        picture = message_class(RAW)(stamped(START_NS), 2, 2, "mono8", 0, 2, np.zeros(4, np.uint8))
        writer.write_message(name, picture, START_NS)
    writer.close()
    summary = summarize(tmp_path / "two")
    assert summary.camera_role.topic is None
    assert "camera_topic could be /left/image or /right/image" in summary.camera_role.reason
    assert "camera     none: " in summary_text(summary)


def test_a_camera_whose_first_frames_are_broken(tmp_path: Path) -> None:
    for broken in (3, FRAMES_TRIED):
        folder = tmp_path / f"broken_{broken}"
        writer = BagWriter(folder, {})
        writer.add_topic(CAMERA_TOPIC, JPEG)
        for i in range(broken + 1):
            data = b"\xff\xd8 no picture" if i < broken else None
            writer.write_message(CAMERA_TOPIC, jpeg(START_NS + i, data), START_NS + i)
        writer.close()
        assert (summarize(folder).camera is None) == (broken == FRAMES_TRIED)
    assert f"none of the first {FRAMES_TRIED} frames can be decoded" in describe(folder)


@pytest.mark.parametrize("coordinates", ["normalized_bottom_left", ""])
def test_gaze_of_points(tmp_path: Path, coordinates: str) -> None:
    for camera in (True, False):
        folder = tmp_path / f"camera_{camera}"
        writer = BagWriter(folder, {"gaze_topic": "/point", "gaze_coordinates": coordinates})
        writer.add_topic("/point", POINT)
        for i, x in enumerate((0.5, 0.999, 1.5)):
            point = message_class("geometry_msgs/msg/Point")(x, 0.5, 0.0)
            writer.write_message("/point", message_class(POINT)(stamped(START_NS + i), point), START_NS + i)
        if camera:
            writer.add_topic(CAMERA_TOPIC, JPEG)
            writer.write_message(CAMERA_TOPIC, jpeg(START_NS), START_NS)
        writer.close()
        summary = summarize(folder)
        if not camera:
            assert "the bag has no camera" in summary.gaze_role.reason
        elif coordinates:
            assert summary.gaze == GazeSummary(
                3, 2, not_worn=0, unsure=0, off_image=1, blink_or_saccade=0, no_estimate=0
            )
        else:
            assert "expected one of px_top_left" in summary.gaze_role.reason


def test_many_labels_are_cut_short_and_odd_characters_shown(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "many", {})
    writer.add_topic("/label", LABEL)
    texts = [f"action {i}" for i in range(30) for _ in range(i + 1)] + ["\x1b[31mred\nline"] * 40
    for i, text in enumerate(texts):
        writer.write_message("/label", label(START_NS + i, text), START_NS + i)
    writer.close()
    summary = summarize(tmp_path / "many")
    assert summary.labels
    assert summary.labels.distinct == 31
    assert len(summary.labels.most_frequent) == LABELS_SHOWN
    assert summary.labels.most_frequent[1] == ("action 29", 30)
    (line,) = [line for line in summary_text(summary).splitlines() if line.startswith("labels")]
    assert line.endswith(", ...")
    assert "\x1b" not in line
    assert "red" in line


def test_times_no_calendar_has() -> None:
    assert instant_text(0).startswith("1970-01-01 00:00:00.000 UTC (")
    assert instant_text(2**63 - 1).startswith("2262-04-11 23:47:16.854 UTC (")
    assert instant_text(10**25) == f"{10**25} ns"


def test_a_recovered_bag_says_so(tmp_path: Path, known_bag: Path) -> None:
    shutil.copytree(known_bag, tmp_path / "s7")
    file = tmp_path / "s7" / "s7_0.mcap"
    (tmp_path / "s7" / "metadata.yaml").unlink()
    assert "no metadata.yaml, which `ros2 bag` needs" in describe(tmp_path / "s7")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 3])
    recovery = recover(tmp_path / "s7")
    summary = summarize(recovery.folder)
    assert summary.recovery["source_bytes"] == str(len(data) // 3)
    assert summary.lost is None
    text = summary_text(summary)
    assert f"recovered  from {tmp_path / 's7'}; {recovery.unused_bytes} of its {len(data) // 3} bytes" in text
    assert text.splitlines()[-1] == "lost       not known: the bag has no totals"


def test_totals_that_disagree_with_the_bag_are_named(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "odd", {})
    writer.add_topic("/gaze", GAZE)
    writer.write_message("/gaze", gaze(START_NS), START_NS)
    writer.close({"/gaze": TopicTotals(9, 8, 1)})
    assert "the totals of /gaze disagree with the messages that are in the bag" in describe(tmp_path / "odd")


def test_bags_of_others(tmp_path: Path) -> None:
    for i, storage in enumerate((StoragePlugin.MCAP, StoragePlugin.SQLITE3)):
        describe_type(GAZE)
        folder = tmp_path / f"theirs_{i}"
        writer = RosbagsWriter(folder, version=9, storage_plugin=storage)
        with writer:
            connection = writer.add_connection("/gaze", GAZE, typestore=known_types())
            for k in range(5):
                data = known_types().serialize_cdr(gaze(START_NS + k * 10**7), GAZE)
                writer.write(connection, START_NS + k * 10**7, data)
    text = describe(tmp_path / "theirs_0")
    assert text.splitlines()[-1] == "lost       not known: the bag has no totals"
    assert "not given" in text
    for place in (tmp_path / "theirs_1", next((tmp_path / "theirs_1").glob("*.db3"))):
        with pytest.raises(NotABag, match="only MCAP is read; convert it, without ROS: `rosbags-convert") as raised:
            describe(place)
        assert "\n" not in str(raised.value)


def test_a_file_of_no_ros(tmp_path: Path) -> None:
    path = tmp_path / "other.mcap"
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        channel = writer.register_channel("/json", "json", 0)
        for i in range(4):
            writer.add_message(channel, START_NS + i * 10**9, b"{}", START_NS)
        writer.finish()
    (topic,) = summarize(path).topics
    assert (topic.name, topic.type_name, topic.messages, topic.rate_hz) == ("/json", "", 4, 1.0)


def test_a_split_bag(tmp_path: Path, known_bag: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    for i in range(11):
        writer = BagWriter(tmp_path / f"part_{i}", {})
        writer.add_topic("/gaze", GAZE)
        writer.write_message("/gaze", gaze(START_NS + i * 10**9), START_NS + i * 10**9)
        writer.close()
        (tmp_path / f"part_{i}" / f"part_{i}_0.mcap").rename(folder / f"split_{i}.mcap")
    summary = summarize(folder)
    assert (summary.files, summary.topics[0].messages, summary.duration_s) == (11, 11, 10.0)


def test_damage_is_one_error_or_makes_no_difference(tmp_path: Path, known_bag: Path) -> None:
    file = tmp_path / "s7_0.mcap"
    data = (known_bag / "s7_0.mcap").read_bytes()
    shutil.copyfile(known_bag / "s7_0.mcap", file)
    expected = [(t.name, t.messages, t.first_ns, t.last_ns, t.rate_hz) for t in summarize(file).topics]
    generator = random.Random(1)
    # The front holds the texts that no checksum protects, the end every index.
    positions = [*range(0, 400, 7), *(generator.randrange(len(data)) for _ in range(60))]
    positions += [len(data) - 1 - generator.randrange(10_000) for _ in range(120)]
    errors = []
    for position in positions:
        changed = bytearray(data)
        changed[position] ^= 1 << generator.randrange(8)
        file.write_bytes(changed)
        try:
            topics = summarize(file).topics
        except GazeVlmError as error:
            errors.append(str(error))
        else:
            assert [(t.name, t.messages, t.first_ns, t.last_ns, t.rate_hz) for t in topics] == expected
    assert len(positions) // 2 < len(errors) < len(positions)
    assert not any("\n" in error for error in errors)
    for cut in (0, 5, 8, 9, 30, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:cut])
        with pytest.raises(BagDamaged, match="gaze-vlm bag recover"):
            summarize(file)


@pytest.mark.parametrize("topic", ["/lidar/points", "/gaze", "/label", CAMERA_TOPIC])
def test_a_topic_that_cannot_be_decoded_is_listed_as_unreadable_and_costs_no_other(tmp_path: Path, topic: str) -> None:
    """Its type is one that is known, as a schema without a definition leaves it, and its bytes are not of it."""
    writer = BagWriter(tmp_path / "bag", {})
    made = {CAMERA_TOPIC: (JPEG, jpeg), "/gaze": (GAZE, gaze), "/label": (LABEL, lambda now: label(now, "pour"))}
    for name, type_name in {**{name: kind for name, (kind, _) in made.items()}, topic: "sensor_msgs/msg/Imu"}.items():
        writer.add_topic(name, made[name][0] if name in made else type_name)
    for number in range(5):
        now_ns = START_NS + number * 10**8
        for name, (_, make) in made.items():
            if name != topic:
                writer.write_message(name, make(now_ns), now_ns)
        writer.write(topic, b"\0\1\0\0", now_ns)
    writer.close()
    summary = summarize(tmp_path / "bag")
    assert [(entry.name, bool(entry.unreadable)) for entry in summary.topics] == [
        (entry.name, entry.name == topic) for entry in summary.topics
    ]
    assert all(entry.messages == 5 for entry in summary.topics)
    assert summary.camera is not None or topic == CAMERA_TOPIC
    assert summary.gaze is not None or topic == "/gaze"
    assert summary.labels is not None or topic == "/label"
    text = summary_text(summary)
    assert f"{topic} (unreadable)" in text
    assert f"(unreadable): {tmp_path / 'bag'}: a message on {topic} is no " in text
    json.loads(describe_as_json(tmp_path / "bag"))
    findings = {finding.check: finding for finding in check_bag(tmp_path / "bag", WindowSettings()).findings}
    assert findings["other topics"].figures == {"unreadable": [topic]}


def test_a_camera_that_cannot_be_decoded_says_why(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", {})
    writer.add_topic(CAMERA_TOPIC, JPEG)
    data = np.frombuffer(b"\0\0\0\1 no picture", np.uint8)
    writer.write_message(CAMERA_TOPIC, message_class(JPEG)(stamped(START_NS), "", data), START_NS)
    writer.close()
    assert f"none of the first {FRAMES_TRIED} frames can be decoded: compressed image format '' cannot be read" in (
        describe(tmp_path / "bag")
    )
