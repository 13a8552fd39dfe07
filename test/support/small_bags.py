"""Real bags of a world that a tiny model learns in seconds: a disc appears, is looked at, and is then taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.video.images import encode_jpeg

COLOURS = {"take the red disc": (220, 30, 30), "take the blue disc": (30, 30, 220)}
START_NS = 1_790_000_000_000_000_000
FRAME_NS, GAZE_NS = 100_000_000, 20_000_000
TAKE_S = 3.0  # one action each so many seconds
WIDTH, HEIGHT = 96, 64


def header(stamp_ns: int, frame_id: str = "scene"):
    time = message_class("builtin_interfaces/msg/Time")(*split_ns(stamp_ns))
    return message_class("std_msgs/msg/Header")(time, frame_id)


def write_small_bag(
    folder: Path, seed: int, takes: int = 8, gaze: bool = True, labels: bool = True, scene: str = "bench",
    regions: bool = False, hold_s: float = 0.0, depth: bool = False,
) -> Path:  # fmt: skip
    """A session of `takes` actions. Each disc shows from one action to the next, where it is looked at.

    regions: also write the box of each disc, and of a hand in the top left corner. hold_s: each action ends so long
    after it began, and meanwhile a bar of its colour shows at the bottom; 0 = it holds until the next, and none shows.
    depth: a second camera, so that the bag does not say which one is meant.
    """
    generator = np.random.default_rng(seed)
    texts = [list(COLOURS)[i] for i in generator.integers(0, len(COLOURS), takes)]
    places = generator.uniform((15, 15), (WIDTH - 15, HEIGHT - 15), (takes, 2))
    writer = BagWriter(folder, {"session": folder.name, "person": f"p{seed % 2}", "task": "discs", "scene": scene})
    writer.add_topic("/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
    if gaze:
        writer.add_topic("/gaze", "gaze_vlm_msgs/msg/GazeStamped")
    if labels:
        writer.add_topic("/label", "gaze_vlm_msgs/msg/ActionLabel")
    if regions:
        writer.add_topic("/regions", "gaze_vlm_msgs/msg/ImageRegions")
    if depth:
        writer.add_topic("/depth/image_raw", "sensor_msgs/msg/Image")
        far = message_class("sensor_msgs/msg/Image")(header(START_NS), 2, 2, "16UC1", 0, 4, np.zeros(8, np.uint8))
        writer.write_message("/depth/image_raw", far, START_NS)
    no_time = message_class("builtin_interfaces/msg/Time")(0, 0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    start_ns = START_NS + seed * 10**12
    for take, (text, place) in enumerate(zip(texts, places, strict=True)):
        picture = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
        picture[np.hypot(columns - place[0], rows - place[1]) < 9] = COLOURS[text]
        jpeg = np.frombuffer(encode_jpeg(picture), np.uint8)
        begin_ns = start_ns + round(take * TAKE_S * 1e9)
        if hold_s:
            picture[-10:] = COLOURS[texts[take - 1]]
        bar = np.frombuffer(encode_jpeg(picture), np.uint8) if hold_s else jpeg
        end_ns = begin_ns + round(TAKE_S * 1e9)
        for stamp_ns in range(begin_ns, end_ns, FRAME_NS):
            shown = bar if take and stamp_ns < begin_ns + round(hold_s * 1e9) else jpeg
            image = message_class("sensor_msgs/msg/CompressedImage")(header(stamp_ns), "jpeg", shown)
            writer.write_message("/camera/image_raw/compressed", image, stamp_ns)
            if regions:
                boxes = np.concatenate([place - 9, place + 9, [0, 0, 16, 16]]).astype(np.float32)
                of_image = message_class("gaze_vlm_msgs/msg/ImageRegions")(
                    header(stamp_ns), WIDTH, HEIGHT, [text.split()[2] + " disc", "hand"], boxes
                )
                writer.write_message("/regions", of_image, stamp_ns)
        for stamp_ns in range(begin_ns, end_ns, GAZE_NS) if gaze else ():
            x, y = place + generator.normal(0, 1.5, 2)
            sample = (header(stamp_ns), x, y, WIDTH, HEIGHT, 0.95, 2, 1, no_time)
            writer.write_message("/gaze", message_class("gaze_vlm_msgs/msg/GazeStamped")(*sample), stamp_ns)
        if labels:
            label = message_class("gaze_vlm_msgs/msg/ActionLabel")(
                header(end_ns), text, "take", text.split()[2] + " disc"
            )
            writer.write_message("/label", label, end_ns)
            if hold_s:
                over_ns = end_ns + round(hold_s * 1e9)
                over = message_class("gaze_vlm_msgs/msg/ActionLabel")(header(over_ns), "", "", "")
                writer.write_message("/label", over, over_ns)
    writer.close()
    return folder
