"""A camera and a planner in one process: `python robot_load.py RATE_HZ SECONDS OUT`.

The camera sends raw frames of 640x480, each stamped as it is sent. OUT gets JSON: a line for each prediction that came,
with the ns at which it did, from the same clock as the stamps.
"""

import json
import sys
import threading
import time

import rclpy
from prediction import FRAME_PX, frames
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from gaze_vlm_msgs.msg import ActionPrediction
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.nodes.dds_transport import use_tested_transport

WARM_UP_S = 4.0  # fills the window of observation, and the queue of a node that is too slow


def main() -> None:
    rate_hz, seconds, out = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    use_tested_transport()
    rclpy.init()
    node = rclpy.create_node("robot_load")
    camera = node.create_publisher(Image, "camera/image_raw", QoSProfile(depth=10))
    width, height = FRAME_PX
    pictures = [
        Image(height=height, width=width, encoding="rgb8", step=3 * width, data=frame.tobytes()) for frame in frames(60)
    ]
    notes = []

    def note(message: ActionPrediction) -> None:
        notes.append(
            {
                "received_ns": time.time_ns(),
                "stamp_ns": nanoseconds(message.header.stamp),
                "status": message.status,
                "id": bytes(message.prediction_id.uuid).hex(),
                "inference_s": nanoseconds(message.inference_time) / 1e9,
            }
        )

    node.create_subscription(ActionPrediction, "next_action", note, QoSProfile(depth=10))
    spinning = threading.Thread(target=rclpy.spin, args=(node,), daemon=True)
    spinning.start()
    while not camera.get_subscription_count():
        time.sleep(0.01)
    began, sent, noting = time.monotonic(), 0, False
    while (passed_s := time.monotonic() - began) < WARM_UP_S + seconds:
        if passed_s >= WARM_UP_S and not noting:
            notes.clear()
            noting = True
        message = pictures[sent % len(pictures)]
        message.header.stamp = node.get_clock().now().to_msg()
        camera.publish(message)
        sent += 1
        time.sleep(max(0.0, began + sent / rate_hz - time.monotonic()))
    found = list(notes)
    with open(out, "w") as file:
        json.dump({"seconds": seconds, "sent": sent, "predictions": found}, file)
    rclpy.shutdown()
    spinning.join()


main()
