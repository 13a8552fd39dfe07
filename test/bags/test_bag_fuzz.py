"""Bags that no recorder writes: each is read whole, or its fault is named; no message is lost in silence."""

from __future__ import annotations

import os
import random
import struct
from collections import Counter
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.writer import CompressionType, Writer
from odd_inputs import Tally, odd
from small_bags import HEIGHT, START_NS, WIDTH, header

from gaze_vlm_ros.bags.message_types import describe_type, message_class, serialize
from gaze_vlm_ros.bags.qos import DEFAULT_QOS
from gaze_vlm_ros.bags.recover import recover
from gaze_vlm_ros.inspection.check import check_bag
from gaze_vlm_ros.inspection.info import describe_as_json, summarize
from gaze_vlm_ros.inspection.info_text import summary_text
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.windows.settings import WindowSettings

INPUTS, SOAK_INPUTS = 60, round(10_000 * float(os.environ.get("SOAK_SCALE", "1")))
IMAGE, GAZE, LABEL = "sensor_msgs/msg/CompressedImage", "gaze_vlm_msgs/msg/GazeStamped", "gaze_vlm_msgs/msg/ActionLabel"
TOPICS = {"/camera/image_raw/compressed": IMAGE, "/gaze": GAZE, "/label": LABEL, "/note": "std_msgs/msg/String"}
FRAMES = 12
METADATA = """rosbag2_bagfile_information:
  version: 9
  storage_identifier: mcap
  relative_file_paths:
  - bag_0.mcap
  topics_with_message_count:
  - topic_metadata: {name: /gaze, type: gaze_vlm_msgs/msg/GazeStamped, offered_qos_profiles: []}
    message_count: 24
  compression_mode: MESSAGE
"""
STAMPS = (0, 1, -1, 2**31 * 10**9 - 1, -(2**31) * 10**9, START_NS + 3 * 10**17, START_NS - 10**12)
SIZES = ((1, 1), (1, 4000), (4000, 1), (16_000, 16_000), (65_535, 65_535), (0, 5), (2**31 - 1, 2**31 - 1))


def picture(drawn: random.Random, kind: str) -> bytes:
    """A JPEG or PNG; with an odd size in its header, cut off, or with a changed byte where `kind` says so."""
    extension = drawn.choice((".jpg", ".png"))
    data = bytearray(cv2.imencode(extension, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].tobytes())
    if kind == "picture":
        width, height = drawn.choice(SIZES)
        if extension == ".png":
            struct.pack_into(">II", data, 16, width, height)
        else:
            at = data.find(b"\xff\xc0")
            struct.pack_into(">HH", data, at + 5, height % 65_536, width % 65_536)
        if drawn.random() < 0.5:
            data = bytearray(odd(bytes(data), drawn))
    return bytes(data)


def write(folder: Path, drawn: random.Random, kind: str) -> Counter[str]:
    """A bag whose `kind` of content is odd: schema, qos, stamp, picture, message, metadata or file."""
    folder.mkdir()
    which = drawn.choice(sorted(TOPICS))
    written: Counter[str] = Counter()
    path = folder / "bag_0.mcap"
    with path.open("wb") as stream:
        writer = Writer(
            stream,
            chunk_size=drawn.choice((500, 1 << 20)),
            compression=drawn.choice(list(CompressionType)),
            repeat_schemas=drawn.random() < 0.7,
            repeat_channels=drawn.random() < 0.7,
            use_statistics=drawn.random() < 0.7,
        )
        writer.start("ros2")
        channels = {}
        for name, type_name in TOPICS.items():
            definition, qos = describe_type(type_name).definition.encode(), repr([DEFAULT_QOS])
            if name == which:
                definition = odd(definition, drawn) if kind == "schema" else definition
                qos = odd(qos.encode(), drawn).decode("utf-8", "replace") if kind == "qos" else qos
            encoding = drawn.choice(("ros2msg", "ros2msg", "ros2idl", "")) if kind == "schema" else "ros2msg"
            schema = writer.register_schema(type_name, encoding, definition)
            channels[name] = writer.register_channel(name, "cdr", schema, {"offered_qos_profiles": qos})
        no_time = message_class("builtin_interfaces/msg/Time")(0, 0)
        for number in range(2 * FRAMES):
            now_ns = START_NS + number * 10**8
            made = {"/gaze": message_class(GAZE)(header(now_ns), 5.0, 3.0, WIDTH, HEIGHT, 0.9, 2, 1, no_time)}
            if number % 2:
                data = np.frombuffer(picture(drawn, kind), np.uint8)
                made["/camera/image_raw/compressed"] = message_class(IMAGE)(header(now_ns), "jpeg", data)
            if number % 8 == 0:
                made["/label"] = message_class(LABEL)(header(now_ns), f"take {number}", "take", "")
                made["/note"] = message_class("std_msgs/msg/String")("x")
            for name, message in made.items():
                data = bytearray(serialize(message, TOPICS[name]))
                log_ns = now_ns
                if name == which and drawn.random() < 0.3:
                    if kind == "stamp" and name != "/note":
                        seconds, rest_ns = divmod(drawn.choice(STAMPS), 10**9)
                        struct.pack_into("<iI", data, 4, seconds, drawn.choice((rest_ns, 2**32 - 1)))
                        log_ns = drawn.choice((now_ns, 0, 2**63, 2**64 - 1))
                    elif kind == "message":
                        data = bytearray(odd(bytes(data), drawn))
                writer.add_message(channels[name], log_ns, bytes(data), now_ns, number)
                written[name] += 1
        writer.finish()
    metadata = METADATA.encode()
    (folder / "metadata.yaml").write_bytes(odd(metadata, drawn) if kind == "metadata" else metadata)
    if kind == "file":
        path.write_bytes(odd(path.read_bytes(), drawn))
    return written


def look(folder: Path) -> dict[str, int]:
    """Every way of reading that needs no more than the bag. Messages by topic."""
    describe_as_json(folder)
    summary = summarize(folder)
    summary_text(summary).encode()
    return {topic.name: topic.messages for topic in summary.topics}


@pytest.mark.parametrize("inputs", [INPUTS, pytest.param(SOAK_INPUTS, marks=pytest.mark.soak)])
def test_odd_bags_are_read_whole_or_named_in_one_line(tmp_path: Path, inputs: int) -> None:
    tally = Tally()
    kinds = ("schema", "qos", "stamp", "picture", "message", "metadata", "file")
    lost_in_silence = []
    for number in range(inputs):
        kind = kinds[number % len(kinds)]
        drawn = random.Random(number)
        folder = tmp_path / str(number)
        written = write(folder, drawn, kind)
        name = f"input {number}, {kind}"
        found = tally.take(name, partial(look, folder))
        if isinstance(found, dict) and found != written:
            lost_in_silence.append(f"{name}: {found}, written {dict(written)}")
        tally.take(name, partial(check_bag, folder, WindowSettings()))
        tally.take(name, partial(load_session, folder))
        saved = tally.take(name, partial(recover, folder))
        if saved is not None and kind in ("schema", "qos", "stamp", "picture", "message") and saved.saved != written:
            lost_in_silence.append(f"{name}: recovered {saved.saved}, written {dict(written)}")
    print(f"{len(lost_in_silence)} silent losses")
    assert not lost_in_silence, "\n".join(lost_in_silence[:10])
    tally.check(inputs, growth_mb=700)
