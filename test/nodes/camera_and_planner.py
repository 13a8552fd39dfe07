"""A camera that shows a bag and a planner that notes every prediction: `python camera_and_planner.py BAG OUT PHASES`.

PHASES is JSON, a list of [what, seconds]: "wait" publishes nothing, "show" the bag's next frames, stamped now, "broken"
frames that do not decode, "h264", "depth" and "words" what is no picture at all. OUT gets JSON: the predictions, which
frame of the bag each stamp was, and what the predictor subscribes to.
"""

import json
import sys
import time

import cv2
import numpy as np
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header, String

from gaze_vlm_msgs.msg import ActionPrediction, ModelInfo
from gaze_vlm_ros.bags.reader import open_bag

TOPIC = "camera/image_raw/compressed"
PERIOD_S = 0.1


def nanoseconds(stamp) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def duration_s(duration) -> float:
    return duration.sec + duration.nanosec / 1e9


def main() -> None:
    bag_path, out, phases = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    rclpy.init()
    node = rclpy.create_node("camera_and_planner")
    record = {"predictions": [], "frames": {}, "info": None, "subscribed": []}
    phase = ""

    def note(message: ActionPrediction) -> None:
        record["predictions"].append(
            {
                "phase": phase,
                "received_ns": node.get_clock().now().nanoseconds,
                "stamp_ns": nanoseconds(message.header.stamp),
                "frame_id": message.header.frame_id,
                "start_ns": nanoseconds(message.observation_start),
                "valid_until_ns": nanoseconds(message.valid_until),
                "horizon_s": duration_s(message.horizon),
                "inference_s": duration_s(message.inference_time),
                "id": bytes(message.prediction_id.uuid).hex(),
                "revision": message.revision,
                "status": message.status,
                "status_text": message.status_text,
                "score_kind": message.score_kind,
                "candidates": {candidate.text: candidate.probability for candidate in message.candidates},
                "other": message.other_probability,
                "focus": [message.focus_x, message.focus_y],
                "model_id": message.model_id,
            }
        )

    def note_info(message: ModelInfo) -> None:
        record["info"] = {"model_id": message.model_id, "labels": list(message.labels), "gaze_use": message.gaze_use}

    camera = node.create_publisher(String if phases[0][0] == "words" else CompressedImage, TOPIC, 10)
    node.create_subscription(ActionPrediction, "next_action", note, 10)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(ModelInfo, "model_info", note_info, latched)

    def listen(seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            rclpy.spin_once(node, timeout_sec=left)

    with open_bag(bag_path) as bag:
        shown = 0
        deadline = time.monotonic() + 200
        while not camera.get_subscription_count() and phases[0][0] != "words" and time.monotonic() < deadline:
            listen(0.05)
        for phase, seconds in phases:  # `note` reads it
            for _ in range(round(seconds / PERIOD_S)):
                stamp = node.get_clock().now()
                header = Header(stamp=stamp.to_msg(), frame_id="head_camera")
                if phase == "show":
                    message = bag.read("/" + TOPIC).message(shown)
                    camera.publish(CompressedImage(header=header, format="jpeg", data=message.data.tobytes()))
                    record["frames"][stamp.nanoseconds] = shown
                    shown += 1
                elif phase in ("broken", "h264"):
                    kind = "jpeg" if phase == "broken" else phase
                    camera.publish(CompressedImage(header=header, format=kind, data=b"not a picture"))
                elif phase == "depth":
                    data = cv2.imencode(".png", np.full((48, 64), 1234, np.uint16))[1].tobytes()
                    camera.publish(CompressedImage(header=header, format="16UC1; png compressed ", data=data))
                elif phase == "words":
                    camera.publish(String(data="no picture"))
                listen(PERIOD_S)
    known = dict(node.get_node_names_and_namespaces())
    if "predictor" in known:
        names = node.get_subscriber_names_and_types_by_node("predictor", known["predictor"])
        record["subscribed"] = sorted(name for name, _ in names)
    with open(out, "w") as file:
        json.dump(record, file)


main()
