"""Coded video for tests: pictures, their packets, and bags of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from gaze_vlm_ros.bags.message_types import TypeDescription, describe_type
from gaze_vlm_ros.bags.reader import Bag, open_bag
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.video.images import RGB

TOPIC = "/camera/video"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
VIDEO = "foxglove_msgs/msg/CompressedVideo"
FFMPEG = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
# Neither package is on PyPI. Fields as docs.foxglove.dev and ffmpeg_image_transport_msgs state them.
FIELDS = {
    VIDEO: ("builtin_interfaces/Time timestamp", "string frame_id", "uint8[] data", "string format"),
    FFMPEG: (
        "std_msgs/Header header", "int32 width", "int32 height", "string encoding", "uint64 pts", "uint8 flags",
        "bool is_bigendian", "uint8[] data",
    ),
}  # fmt: skip
START_NS = 1_790_000_000_000_000_000
FRAME_NS = 33_333_333
ENCODERS = {"h264": "libx264", "hevc": "libx265"}


def need_encoder(codec: str) -> None:
    """Skip the test where PyAV cannot write the codec."""
    try:
        av.codec.Codec(ENCODERS[codec], "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"PyAV has no {ENCODERS[codec]} here")


def pictures(count: int, size: tuple[int, int] = (128, 96), seed: int = 0) -> list[RGB]:
    """Moving texture of `size` (width, height), so that a picture built on the wrong one shows."""
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 255, (height + count, width + 2 * count, 3), np.uint8)
    world = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    return [np.ascontiguousarray(world[i : i + height, 2 * i : 2 * i + width]) for i in range(count)]


def encode(
    shown: Sequence[RGB], codec: str = "h264", gop: int = 10, b_frames: int = 0, **parameters: Any
) -> list[bytes]:
    """One packet a picture, a keyframe each `gop`. parameters: of x264 or x265, `-` written as `_`."""
    need_encoder(codec)
    height, width, _ = shown[0].shape
    encoder = av.CodecContext.create(ENCODERS[codec], "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuv420p", Fraction(1, 30)
    encoder.framerate, encoder.gop_size, encoder.max_b_frames = Fraction(30), gop, b_frames
    settings = {"bframes": b_frames, "keyint": gop, "scenecut": 0, "threads": 1, "log-level": "none"} | {
        name.replace("_", "-"): value for name, value in parameters.items()
    }
    if codec == "hevc":
        settings["pools"] = "none"
        settings["frame-threads"] = settings.pop("threads")
    else:
        del settings["log-level"]
    name = ENCODERS[codec].removeprefix("lib") + "-params"
    encoder.options = {name: ":".join(f"{key}={value}" for key, value in settings.items()), "preset": "veryfast"}
    packets: list[bytes] = []
    for number, picture in enumerate(shown):
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = number
        packets += map(bytes, encoder.encode(frame))
    return packets + list(map(bytes, encoder.encode(None)))


def decode(packets: Iterable[bytes], codec: str = "h264") -> list[RGB]:
    """What a plain decoder makes of whole packets, fed from the first to the last."""
    decoder = av.CodecContext.create(codec, "r")
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet))] + decoder.decode(None)
    return [frame.to_ndarray(format="rgb24") for frame in frames]


def units(packet: bytes) -> list[bytes]:
    """NAL units, without start codes."""
    return [unit.rstrip(b"\0") for unit in packet.split(b"\0\0\1")[1:]]


def packet_of(nal_units: Iterable[bytes]) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in nal_units)


def types_of(type_name: str, more: tuple[str, ...] = ()) -> tuple[Any, TypeDescription]:
    """A store of types that nobody else uses, and the type's description; `more`: fields of a later version."""
    store = get_typestore(Stores.ROS2_KILTED)
    if type_name not in FIELDS:
        return store, describe_type(type_name)
    store.register(get_types_from_msg("\n".join((*FIELDS[type_name], *more)), type_name))
    definition, _ = store.generate_msgdef(type_name, ros_version=2)
    return store, TypeDescription(definition, store.hash_rihs01(type_name))


def write_video_bag(
    folder: Path,
    packets: Sequence[bytes],
    format_: str | Sequence[str] = "h264",
    type_name: str = COMPRESSED_IMAGE,
    *,
    stamps_ns: Sequence[int] | None = None,
    sequences: Sequence[int] | None = None,
    more: tuple[str, ...] = (),
) -> Path:
    """A bag of one camera.

    format_: of all messages, or of each; sequences: default 5, 6, 7, ...; more: fields of a later version, all strings.
    """
    store, description = types_of(type_name, more)
    time = store.types["builtin_interfaces/msg/Time"]
    header = store.types["std_msgs/msg/Header"]
    writer = BagWriter(folder, {"camera_topic": TOPIC})
    writer.add_topic(TOPIC, type_name, description=description)
    for number, packet in enumerate(packets):
        stamp_ns = stamps_ns[number] if stamps_ns else START_NS + number * FRAME_NS
        stamp = time(*split_ns(stamp_ns))
        data = np.frombuffer(packet, np.uint8)
        name = format_ if isinstance(format_, str) else format_[number]
        if type_name == VIDEO:
            message = store.types[VIDEO](stamp, "scene", data, name, *["x"] * len(more))
        elif type_name == FFMPEG:
            message = store.types[FFMPEG](header(stamp, "scene"), 0, 0, name, number, 0, False, data)
        else:
            message = store.types[COMPRESSED_IMAGE](header(stamp, "scene"), name, data)
        serialized = bytes(store.serialize_cdr(message, type_name))
        sequence = sequences[number] if sequences else number + 5
        writer.write(TOPIC, serialized, START_NS + number * FRAME_NS, sequence=sequence)
    writer.close()
    return folder


def video_bag(folder: Path, packets: Sequence[bytes], *arguments: Any, **options: Any) -> Bag:
    return open_bag(write_video_bag(folder, packets, *arguments, **options))
