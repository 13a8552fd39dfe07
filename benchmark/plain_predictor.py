"""Baseline: a VLM in a node, written the plain way: `python plain_predictor.py CHECKPOINT`.

Written as the examples of rclpy and transformers show it: a subscription with a queue of 10, and in its callback the
processor and `generate` on the whole window.
"""

import sys
import time
from collections import deque

import numpy as np
import rclpy
import torch
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from gaze_vlm_msgs.msg import ActionCandidate, ActionPrediction
from gaze_vlm_ros.bags.stamps import header_stamp_ns, split_ns
from gaze_vlm_ros.nodes.dds_transport import use_tested_transport
from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from gaze_vlm_ros.video.frame_selection import pick_frames
from gaze_vlm_ros.video.images import to_rgb
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import answer_tokens, encode


class PlainPredictor(Node):
    """Answers each image in the subscription's callback."""

    def __init__(self, folder: str) -> None:
        super().__init__("plain_predictor")
        self.metadata = read_checkpoint_metadata(folder)
        self.model, self.processor = load_vlm(folder)
        self.model.eval()
        self.longest = max(len(answer_tokens(self.processor, label)) for label in self.metadata.labels)
        self.window: deque[tuple[int, Image]] = deque()
        self.publisher = self.create_publisher(ActionPrediction, "next_action", 10)
        self.create_subscription(Image, "camera/image_raw", self.on_image, QoSProfile(depth=10))

    @torch.inference_mode()
    def on_image(self, message: Image) -> None:
        """Publish an answer for the window that ends at this image."""
        began = time.monotonic()
        newest_ns = header_stamp_ns(message)
        self.window.append((newest_ns, message))
        while self.window[0][0] <= newest_ns - self.metadata.observation_s * 1e9:
            self.window.popleft()
        stamps_ns = np.array([stamp_ns for stamp_ns, _ in self.window])
        picked = pick_frames(stamps_ns, newest_ns, self.metadata.observation_s, self.metadata.frames)
        if not len(picked):
            return
        encoded = encode(self.processor, [to_rgb(self.window[index][1]) for index in picked], self.metadata.question)
        tokens = self.model.generate(**encoded.inputs, max_new_tokens=self.longest, do_sample=False)
        (text,) = self.processor.batch_decode(tokens[:, encoded.length :], skip_special_tokens=True)
        prediction = ActionPrediction(status=ActionPrediction.STATUS_OK, candidates=[ActionCandidate(text=text)])
        prediction.header = message.header
        prediction.prediction_id.uuid = np.frombuffer(newest_ns.to_bytes(16, "little"), np.uint8)
        prediction.inference_time.sec, nanoseconds = split_ns(round(1e9 * (time.monotonic() - began)))
        prediction.inference_time.nanosec = nanoseconds
        self.publisher.publish(prediction)


use_tested_transport()
rclpy.init()
node = PlainPredictor(sys.argv[1])
print("predictor is ready", flush=True)
rclpy.spin(node)
