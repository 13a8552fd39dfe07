"""A camera that publishes H.264 as foxglove_msgs/CompressedVideo, 30 Hz: `video_camera.py PACKETS.npz`."""

import sys
import time

import numpy as np
import rclpy
from foxglove_msgs.msg import CompressedVideo

START_NS = 1_700_000_000_000_000_000


def main() -> None:
    packets = np.load(sys.argv[1])
    rclpy.init()
    node = rclpy.create_node("video_camera")
    camera = node.create_publisher(CompressedVideo, "camera/video", 30)
    deadline = time.monotonic() + 200
    while not camera.get_subscription_count() and time.monotonic() < deadline:
        time.sleep(0.01)
    started = time.monotonic()
    for number, name in enumerate(packets.files):
        message = CompressedVideo(frame_id="camera", data=packets[name].tobytes(), format="h264")
        stamp_ns = START_NS + number * 33_000_000
        message.timestamp.sec, message.timestamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        camera.publish(message)
        time.sleep(max(0.0, started + (number + 1) / 30 - time.monotonic()))
    camera.wait_for_all_acked(rclpy.duration.Duration(seconds=5))


main()
