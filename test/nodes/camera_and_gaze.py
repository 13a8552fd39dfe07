"""A camera and an eye tracker for tests: `camera_and_gaze.py SECONDS [--raw] [--black] [--points] [--wrong-type]`.

With --silent it announces its topics and publishes nothing; with --latched it also keeps a robot's description.

It is gone after so many seconds. Black pictures take no room worth mention. Stamps begin in the past or, with --now, at
the time of day.

Every gaze sample's x is its number, every frame's stamp counts in 1/30 s, so that losses can be counted from a bag.
"""

import sys
import time

import numpy as np
import rclpy
from geometry_msgs.msg import Point, PointStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String

from gaze_vlm_msgs.msg import ActionLabel, GazeStamped
from gaze_vlm_ros.video.images import encode_jpeg

START_NS = 1_700_000_000_000_000_000


def header(stamp_ns: int) -> Header:
    message = Header(frame_id="camera")
    message.stamp.sec, message.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    return message


def main() -> None:
    seconds, raw = float(sys.argv[1]), "--raw" in sys.argv
    rclpy.init()
    node = rclpy.create_node("camera_and_gaze")
    topic = "camera/image_raw" if raw else "camera/image_raw/compressed"
    if "--wrong-type" in sys.argv:
        words = node.create_publisher(String, topic, 10)
    else:
        camera = node.create_publisher(Image if raw else CompressedImage, topic, 30)
    points = "--points" in sys.argv  # normalized, from the bottom left, as another tracker's driver might
    gaze = node.create_publisher(PointStamped if points else GazeStamped, "gaze", 2000)
    label = node.create_publisher(ActionLabel, "label", 10)
    if "--latched" in sys.argv:
        kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        robot = node.create_publisher(String, "robot_description", kept)
        robot.publish(String(data="<robot/>"))
    deadline = time.monotonic() + 200
    if "--wrong-type" in sys.argv:
        while time.monotonic() < deadline:
            words.publish(String(data="no picture"))
            time.sleep(0.1)
        return
    if "--silent" in sys.argv:
        time.sleep(200)
    while not (camera.get_subscription_count() and gaze.get_subscription_count() and label.get_subscription_count()):
        if time.monotonic() > deadline:
            sys.exit("no recorder came")
        time.sleep(0.01)
    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    jpeg = encode_jpeg(np.zeros_like(picture) if "--black" in sys.argv else picture)
    start_ns = time.time_ns() if "--now" in sys.argv else START_NS
    started = time.monotonic()
    for number in range(int(seconds * 200)):
        stamp_ns = start_ns + number * 5_000_000
        if number % 7 == 0:  # about 30 Hz
            if raw:
                camera.publish(
                    Image(header=header(stamp_ns), height=480, width=640, encoding="rgb8", step=1920,
                          data=picture.tobytes())
                )  # fmt: skip
            else:
                camera.publish(CompressedImage(header=header(stamp_ns), format="jpeg", data=jpeg))
        if points:
            gaze.publish(PointStamped(header=header(stamp_ns), point=Point(x=number / 640, y=0.25)))
        else:
            gaze.publish(GazeStamped(header=header(stamp_ns), x=float(number), image_width=640, image_height=480))
        if number % 200 == 0:
            label.publish(ActionLabel(header=header(stamp_ns), text=f"action {number // 200}"))
        time.sleep(max(0.0, started + number / 200 - time.monotonic()))
    camera.wait_for_all_acked(rclpy.duration.Duration(seconds=5))
    gaze.wait_for_all_acked(rclpy.duration.Duration(seconds=5))


main()
