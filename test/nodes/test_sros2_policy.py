"""The shipped SROS2 policy against what the nodes do, and nodes that must be secure and cannot."""

import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from ros_processes import finish, isolated_environment, shared_environment, start, start_node

pytest.importorskip("rclpy", reason="the nodes need rclpy")
FOLDER = Path(__file__).resolve().parents[2] / "config" / "sros2"
DEADLINE_S = 200.0  # a busy machine
INCLUDE = "{http://www.w3.org/2001/XInclude}include"


def allowed(node: str, kind: str) -> set[str]:
    """Names that the policy allows a node, resolved as SROS2 does. kind: "publish", "subscribe" or "reply"."""
    policy = ElementTree.parse(FOLDER / "policy.xml").getroot()
    (profile,) = [found for found in policy.iter("profile") if found.get("node") == node]
    parts = list(profile)
    for part in profile.iter(INCLUDE):
        parts += list(ElementTree.parse(FOLDER / part.get("href", "")).getroot())
    names = [name.text or "" for part in parts if part.get(kind) == "ALLOW" for name in part]
    return {f"/{node}{name[1:]}" if name.startswith("~") else name if name.startswith("/") else f"/{name}"
            for name in names}  # fmt: skip


def test_the_policy_allows_what_the_nodes_do_and_no_more(
    tmp_path: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rclpy
    from rclpy.node import NodeNameNonExistentError
    from sensor_msgs.msg import CompressedImage

    from gaze_vlm_msgs.msg import GazeStamped

    environment = shared_environment(monkeypatch)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(environment["ROS_DOMAIN_ID"]))
    robot = rclpy.create_node("robot", context=context)
    robot.create_publisher(CompressedImage, "camera/image_raw/compressed", 10)
    robot.create_publisher(GazeStamped, "gaze", 10)
    robot.create_subscription(CompressedImage, "overlay/compressed", print, 10)
    parameters = {
        "recorder": {"bag": str(tmp_path / "day"), "episodes": True},
        "predictor": {"checkpoint": str(small_checkpoint), "camera_wait_s": 0.0},
        "overlay": {},
        "gaze_monitor": {},
        "predicates": {},
        "eye_tracker": {
            "address": "127.0.0.1:9", "connect_timeout_s": 300.0, "streams": ["world", "gaze", "imu", "eyes", "audio"],
        },
    }  # fmt: skip
    nodes = {name: start_node(name, given, environment, tmp_path) for name, given in parameters.items()}
    # Only with vision_msgs, and only on request.
    expected = {name: allowed(name, "publish") - {"/next_action/classification"} for name in nodes}
    deadline_s = time.monotonic() + DEADLINE_S
    found: dict[str, set[str]] = {}
    while found != expected:
        assert time.monotonic() < deadline_s, (found, expected)
        time.sleep(0.1)
        for name in nodes:
            try:
                found[name] = {topic for topic, _ in robot.get_publisher_names_and_types_by_node(name, "/")}
            except NodeNameNonExistentError:
                found[name] = set()
    for name in nodes:
        services = {service for service, _ in robot.get_service_names_and_types_by_node(name, "/")}
        assert services == allowed(name, "reply"), name
        assert {t for t, _ in robot.get_subscriber_names_and_types_by_node(name, "/")} <= allowed(name, "subscribe")
    for process in nodes.values():
        process.send_signal(2)
    for process in nodes.values():
        finish(process)
    robot.destroy_node()
    context.shutdown()


@pytest.mark.parametrize("enclave_exists", [False, True])
def test_a_node_that_must_be_secure_and_cannot_does_not_start(tmp_path: Path, enclave_exists: bool) -> None:
    """The Fast DDS of PyPI's wheels has no security: with an enclave too, the node must not run unprotected."""
    if enclave_exists:
        (tmp_path / "enclaves" / "gaze_vlm" / "overlay").mkdir(parents=True)
    environment = isolated_environment() | {
        "ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce", "ROS_SECURITY_KEYSTORE": str(tmp_path),
    }  # fmt: skip
    command = [sys.executable, "-m", "gaze_vlm_ros.nodes.overlay", "--ros-args", "--enclave", "/gaze_vlm/overlay"]
    code, output = finish(start(command, environment))
    assert code == 1
    (line,) = [line for line in output.splitlines() if line.startswith("overlay: error: ")]
    assert ("SECURITY ERROR" in line) or ("security" in line)
    assert "Traceback" not in output
