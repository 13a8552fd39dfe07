"""A camera or an eye tracker at a rate, as cheap as possible: `python camera_load.py raw|jpeg|gaze RATE_HZ SECONDS`.

A fourth argument is the size of raw frames (default: 1280x720). It publishes serialized messages made once, with a
fresh stamp each, so that the node that receives them is what is measured.
"""

import struct
import sys
import time

import numpy as np
import rclpy
from rclpy._rclpy_pybind11 import RCLError  # it has no public name
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from gaze_vlm_msgs.msg import GazeStamped
from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.nodes.dds_transport import use_tested_transport
from gaze_vlm_ros.video.images import encode_jpeg


class CannotPublish(GazeVlmError):
    """The middleware does not take messages at this rate."""


def main() -> None:
    kind, rate_hz, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    width, height = map(int, (sys.argv[4] if len(sys.argv) > 4 else "1280x720").split("x"))
    use_tested_transport()
    rclpy.init()
    node = rclpy.create_node(f"{kind}_load")
    random = np.random.default_rng(0)
    if kind == "raw":
        pixels = random.integers(0, 255, (height, width, 3), np.uint8)
        message = Image(height=height, width=width, encoding="rgb8", step=3 * width, data=pixels.tobytes())
        publisher = node.create_publisher(Image, "camera/image_raw", QoSProfile(depth=30))
    elif kind == "jpeg":
        rows, columns = np.mgrid[:1200, :1600]
        pixels = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=2).astype(np.uint8)
        pixels[200:1000, 200:1400] += random.integers(0, 20, (800, 1200, 3), np.uint8)  # as large as a real scene
        message = CompressedImage(format="jpeg", data=encode_jpeg(pixels))
        publisher = node.create_publisher(CompressedImage, "camera/image_raw/compressed", QoSProfile(depth=30))
    else:
        message = GazeStamped(image_width=1280, image_height=720)
        publisher = node.create_publisher(GazeStamped, "gaze", QoSProfile(depth=2000))
    data = bytearray(serialize_message(message))
    while not publisher.get_subscription_count():
        time.sleep(0.01)
    time.sleep(1.0)  # the recorder has to connect with the other source too
    count = int(rate_hz * seconds)
    began = time.monotonic()
    late = 0
    for number in range(count):
        wait_s = began + number / rate_hz - time.monotonic()
        late += wait_s < -1.0 / rate_hz
        time.sleep(max(0.0, wait_s))
        struct.pack_into("<iI", data, 4, *divmod(time.time_ns(), 1_000_000_000))
        try:
            publisher.publish(bytes(data))
        except RCLError as error:
            raise CannotPublish(
                f"message {number} of {count} {kind} at {rate_hz:g} Hz was not taken ({error}); try a lower rate"
            ) from None
    took_s = time.monotonic() - began
    publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=20))
    print(f"{count} messages of {len(data)} bytes in {took_s:.2f} s, {late} late", flush=True)


sys.exit(exit_code("camera_load", main))
