"""Large images between two programs of one machine, best effort, as camera drivers publish them."""

import sys
import time

import pytest
from peers import Peer
from ros_processes import start, stop

pytest.importorskip("rclpy", reason="needs rclpy")
DEADLINE_S = 200.0
# A camera that sends one image for each request, so that no load of the machine can make one overtake another.
CAMERA = """
import sys
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
width, height = int(sys.argv[1]), int(sys.argv[2])
rclpy.init()
node = rclpy.create_node("camera")
camera = node.create_publisher(Image, "image", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
image = Image(width=width, height=height, step=3 * width, encoding="rgb8", data=bytes(3 * width * height))
def send(request):
    image.header = request
    camera.publish(image)
node.create_subscription(Header, "request", send, 10)
try:
    rclpy.spin(node)
except KeyboardInterrupt:
    pass
"""


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160)])
def test_no_raw_image_is_lost_on_one_machine(width: int, height: int, peer: tuple[Peer, dict[str, str]]) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    robot, environment = peer
    node, executor = robot.node, robot.executor
    images: list[Image] = []
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(Image, "image", images.append, best_effort)
    request = node.create_publisher(Header, "request", 10)
    camera = start([sys.executable, "-c", CAMERA, str(width), str(height)], environment)
    try:
        deadline_s = time.monotonic() + DEADLINE_S
        while not (request.get_subscription_count() and node.count_publishers("image")):
            assert time.monotonic() < deadline_s, "no camera"
            executor.spin_once(timeout_sec=0.05)
        while not images:  # a best-effort publisher may know us later than we know it
            assert time.monotonic() < deadline_s, f"no image of {width}x{height} arrives"
            request.publish(Header(frame_id="first"))
            executor.spin_once(timeout_sec=1.0)
        for number in range(10):
            request.publish(Header(frame_id=str(number)))
            wait_s = time.monotonic() + 60
            while images[-1].header.frame_id != str(number):
                assert time.monotonic() < wait_s, f"image {number} of {width}x{height} is lost"
                executor.spin_once(timeout_sec=0.1)
    finally:
        stop(camera)
