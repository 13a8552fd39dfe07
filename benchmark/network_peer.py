"""A robot's camera, eye tracker and planner, with no setting of ours: `python benchmark/network_peer.py OUT`.

Publishes `camera/image_raw` and `gaze` once the camera has as many readers as asked for, and counts what it hears of
`next_action` and `overlay/compressed`. OUT gets the counts as JSON. benchmark/networks.py and tests run it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from gaze_vlm_msgs.msg import ActionPrediction, GazeStamped

PATIENCE_S = 1.5  # for predictions of the last images
FIRST_ANSWERS, FIRST_PICTURES = 10, 2  # so many are heard before --hear-first lets the images begin


def main() -> None:
    """Publish, count, write the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--readers", type=int, default=1, help="subscriptions that the camera waits for")
    parser.add_argument("--wait", type=float, default=60.0, help="longest wait for them, s (default: %(default)g)")
    parser.add_argument(
        "--hear-first",
        action="store_true",
        help="publish until answers and pictures are heard, then the images",
    )
    parser.add_argument("--images", type=int, default=50, help="images to publish (default: %(default)s)")
    parser.add_argument("--hz", type=float, default=10.0, help="images per second (default: %(default)g)")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), metavar=("W", "H"), help="of an image, px")
    parser.add_argument("--best-effort", action="store_true", help="as sensor drivers publish")
    arguments = parser.parse_args()
    width, height = arguments.size
    rclpy.init()
    node = rclpy.create_node("peer")
    reliability = ReliabilityPolicy.BEST_EFFORT if arguments.best_effort else ReliabilityPolicy.RELIABLE
    camera = node.create_publisher(Image, "camera/image_raw", QoSProfile(depth=5, reliability=reliability))
    gaze = node.create_publisher(GazeStamped, "gaze", 100)
    heard: list[Any] = []
    pictures: list[Any] = []
    node.create_subscription(ActionPrediction, "next_action", heard.append, 10)
    node.create_subscription(CompressedImage, "overlay/compressed", pictures.append, 10)

    def spin(until_s: float) -> None:
        while (left_s := until_s - time.monotonic()) > 0:
            rclpy.spin_once(node, timeout_sec=left_s)

    started_s = time.monotonic()
    while camera.get_subscription_count() < arguments.readers and time.monotonic() - started_s < arguments.wait:
        spin(time.monotonic() + 0.05)
    data = bytes(3 * width * height)

    def publish() -> None:
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id="camera")
        camera.publish(Image(header=header, width=width, height=height, step=3 * width, encoding="rgb8", data=data))
        gaze.publish(GazeStamped(header=header, x=1.0, y=1.0, image_width=width, image_height=height))

    # On a busy machine a reader may hear the camera seconds after the camera has matched it.
    started_s = time.monotonic()
    while arguments.hear_first and time.monotonic() - started_s < arguments.wait:
        if answers(heard) >= FIRST_ANSWERS and len(pictures) >= FIRST_PICTURES:
            break
        publish()
        spin(time.monotonic() + 1 / arguments.hz)
    begun_s = time.monotonic()
    for number in range(arguments.images):
        publish()
        spin(begun_s + (number + 1) / arguments.hz)
    camera.wait_for_all_acked(Duration(seconds=5))
    spin(time.monotonic() + PATIENCE_S)
    counts = {
        "published": arguments.images,
        "predictions": len(heard),
        "answers": answers(heard),
        "pictures": len(pictures),
    }
    arguments.out.write_text(json.dumps(counts))
    node.destroy_node()
    rclpy.try_shutdown()


def answers(heard: Sequence[ActionPrediction]) -> int:
    """Return how many of the messages name an action."""
    return sum(message.status == ActionPrediction.STATUS_OK for message in heard)


main()
