"""Write a training bag without ROS: camera frames, gaze and labels of your own source.

    python examples/write_a_bag.py bags/mine

`gaze-vlm bag info bags/mine`, `ros2 bag info`, Foxglove and training/fit.py read it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from gaze_vlm_ros import BagWriter, encode_jpeg, message_class

CAMERA, GAZE, LABEL = "camera/image_raw/compressed", "gaze", "label"
WIDTH, HEIGHT, SECONDS = 320, 240, 6
START_NS = 1_790_000_000_000_000_000  # acquisition time of the first frame, ns since 1970


def header(stamp_ns: int) -> Any:
    """std_msgs/Header: time of acquisition, and the camera's optical frame."""
    stamp = message_class("builtin_interfaces/msg/Time")(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return message_class("std_msgs/msg/Header")(stamp=stamp, frame_id="camera")


def main() -> None:
    image = message_class("sensor_msgs/msg/CompressedImage")
    gaze = message_class("gaze_vlm_msgs/msg/GazeStamped")
    label = message_class("gaze_vlm_msgs/msg/ActionLabel")
    unknown = message_class("builtin_interfaces/msg/Time")(sec=0, nanosec=0)
    writer = BagWriter(Path(sys.argv[1]), {"session": "mine", "person": "ada", "task": "sort"})
    writer.add_topic(CAMERA, "sensor_msgs/msg/CompressedImage")
    writer.add_topic(GAZE, "gaze_vlm_msgs/msg/GazeStamped")
    writer.add_topic(LABEL, "gaze_vlm_msgs/msg/ActionLabel")

    for stamp_ns in range(START_NS, START_NS + SECONDS * 10**9, 10**8):  # 10 Hz; put your camera and tracker here
        x = 40 + 240 * (stamp_ns - START_NS) / (SECONDS * 1e9)
        picture = np.full((HEIGHT, WIDTH, 3), 96, np.uint8)
        picture[100:140, int(x) - 20 : int(x) + 20] = (220, 30, 30)
        jpeg = np.frombuffer(encode_jpeg(picture), np.uint8)
        writer.write_message(CAMERA, image(header(stamp_ns), format="jpeg", data=jpeg), stamp_ns)
        looked_at = gaze(
            header(stamp_ns), x=x, y=120.0, image_width=WIDTH, image_height=HEIGHT, confidence=0.9,
            worn=gaze.WORN_YES, eye_state=gaze.EYE_FIXATION, device_stamp=unknown,
        )  # fmt: skip
        writer.write_message(GAZE, looked_at, stamp_ns)
    # A label holds from its stamp until the next one; an empty text ends the last action.
    for at_s, text, verb, thing in ((1, "take the red box", "take", "red box"), (5, "", "", "")):
        stamp_ns = START_NS + at_s * 10**9
        writer.write_message(LABEL, label(header(stamp_ns), text=text, verb=verb, object_class=thing), stamp_ns)
    writer.close()
    print(f"wrote {sys.argv[1]}")


if __name__ == "__main__":
    main()
