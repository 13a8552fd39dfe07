"""The eye_tracker node as a process, over real DDS, on the simulated glasses as another process."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from neon_fixtures import HEIGHT, WIDTH, Synthetic, decode

from gaze_vlm_ros.neon.recording import read_recording
from gaze_vlm_ros.nodes.dds_transport import unused_domain, use_tested_transport
from gaze_vlm_ros.sim.neon_device.check import NoReplayLog, check_replay, check_stream
from gaze_vlm_ros.sim.neon_device.clock import SkewedClock

pytest.importorskip("rclpy", reason="the node needs rclpy")
CHECKOUT = Path(__file__).resolve().parents[2]
DEADLINE_S = 200.0


def environment(domain: int) -> dict[str, str]:
    return os.environ | {
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
    }


def start_node(domain: int, stdout: Any = subprocess.PIPE, **parameters: Any) -> subprocess.Popen[str]:
    arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    return subprocess.Popen(
        [sys.executable, "-m", "gaze_vlm_ros.nodes.eye_tracker", "--ros-args", *arguments],
        env=environment(domain),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


class Heard:
    """What the node published on the requested topics, from before it started."""

    def __init__(self, domain: int) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("listener", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.messages: dict[str, list[Any]] = {}

    def listen_to(self, *topics: str) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu

        from gaze_vlm_msgs.msg import GazeStamped

        kinds = {
            "camera/image_raw": Image,
            "camera/image_raw/compressed": CompressedImage,
            "camera/camera_info": CameraInfo,
            "gaze": GazeStamped,
            "imu": Imu,
            "/diagnostics": DiagnosticArray,
        }
        for topic in topics:
            self.messages[topic] = []
            self.node.create_subscription(kinds[topic], topic, self.messages[topic].append, QoSProfile(depth=1000))

    def wait_for(self, counts: dict[str, int], node: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while any(len(self.messages[topic]) < count for topic, count in counts.items()):
            assert node.poll() is None, node.communicate()
            assert time.monotonic() < deadline, {topic: len(got) for topic, got in self.messages.items()}
            self.executor.spin_once(timeout_sec=0.1)

    def tolerance_ns(self) -> float:
        """How far a stamp may be from the truth: 2 ms, or on a busy machine the bound that the node itself reported.

        Echoes of the glasses' clock that take long say little about it; the node publishes how little.
        """
        bounds_ms = [
            float(value.value)
            for message in self.messages["/diagnostics"]
            for status in message.status
            for value in status.values
            if value.key == "clock offset uncertainty [ms]"
        ]
        drift_ms = 0.5  # of 50 ppm for ten seconds
        return max(2.0, max(bounds_ms, default=0.0) + drift_ms) * 1e6

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()


def stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec)


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    settings: dict[str, str] = {}
    use_tested_transport(settings)
    for name, value in settings.items():
        monkeypatch.setenv(name, os.environ.get(name, value))
    return unused_domain()


@pytest.fixture
def heard(domain: int) -> Iterator[Heard]:
    listener = Heard(domain)
    yield listener
    listener.close()


@pytest.fixture
def device(synthetic: Synthetic, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """The device's process, its port, and the log that it writes at its end."""
    log = tmp_path / "device.json"
    command = [sys.executable, "-m", "gaze_vlm_ros.sim.neon_device", str(synthetic.folder), "--port", "0", "--once"]
    command += ["--clock-offset-s", "3.2", "--drift-ppm", "50", "--log", str(log)]
    process = subprocess.Popen(command, env=environment(0), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline().rsplit(":", 1)[1])
    yield process, port, log
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=200)


def test_everything_is_published_at_its_acquisition_time(
    synthetic: Synthetic, device: tuple[subprocess.Popen[str], int, Path], heard: Heard, domain: int, tmp_path: Path
) -> None:
    process, port, device_log = device
    topics = ["camera/image_raw", "camera/image_raw/compressed", "camera/camera_info", "gaze", "imu"]
    heard.listen_to(*topics, "/diagnostics")
    node = start_node(
        domain,
        address=f"127.0.0.1:{port}",
        delivered_log=tmp_path / "delivered.json",
        wait_for_subscribers=f"[{','.join(topics)}]",
        clock_period_s=1,  # an integer for a float, as users write
    )
    heard.wait_for(dict(zip(topics, (20, 20, 20, 80, 60), strict=True)) | {"/diagnostics": 1}, node)
    assert process.wait(timeout=200) == 0
    node.send_signal(signal.SIGINT)
    output, errors = node.communicate(timeout=200)
    assert node.returncode == 0, errors
    assert "delivered 20 world, 80 gaze, 60 imu; 0 stamps refused, 0 frames dropped" in output
    assert "Traceback" not in errors

    recording = read_recording(synthetic.folder)
    truth = json.loads(device_log.read_text())
    clock = SkewedClock(**truth["clock"])

    def true_ns(recorded: np.ndarray) -> np.ndarray:
        on_device = recorded - recording.span_ns[0] + truth["session_starts_ns"][0]
        return np.array([clock.host_ns(stamp) for stamp in on_device.tolist()])

    recorded = {"gaze": synthetic.gaze_ns, "imu": synthetic.imu_ns}
    for topic in topics:
        got = np.array([stamp_ns(message) for message in heard.messages[topic]])
        assert np.abs(got - true_ns(recorded.get(topic, synthetic.frame_ns))).max() < heard.tolerance_ns(), topic

    gaze = heard.messages["gaze"]
    assert np.array_equal(np.array([(g.x, g.y) for g in gaze]), synthetic.gaze_px.astype(float))
    assert [g.worn for g in gaze] == [2 if worn == 255 else 1 for worn in synthetic.worn]
    assert {(g.image_width, g.image_height) for g in gaze} == {(WIDTH, HEIGHT)}  # from the very first sample on
    assert all(math.isnan(g.confidence) and g.eye_state == 0 for g in gaze)
    delivered = json.loads((tmp_path / "delivered.json").read_text())["streams"]
    device_ns = [g.device_stamp.sec * 1_000_000_000 + g.device_stamp.nanosec for g in gaze]
    assert device_ns == delivered["gaze"]["device_ns"]
    assert [stamp_ns(g) for g in gaze] == delivered["gaze"]["header_ns"]

    pixels = [f for part in (1, 2) for f in decode(synthetic.folder / f"Neon Scene Camera v1 ps{part}.mp4")]
    for image, expected in zip(heard.messages["camera/image_raw"], pixels, strict=True):
        assert (image.encoding, image.step, image.is_bigendian) == ("rgb8", 3 * WIDTH, 0)
        assert np.array_equal(np.frombuffer(bytes(image.data), np.uint8).reshape(HEIGHT, WIDTH, 3), expected)
    jpeg = heard.messages["camera/image_raw/compressed"][0]
    decoded = cv2.cvtColor(cv2.imdecode(np.frombuffer(bytes(jpeg.data), np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    # JPEG of noise is far from the noise, but its colours are in order only when they correlate with their own channel.
    channels = [np.corrcoef(decoded[..., c].ravel(), pixels[0][..., c].ravel())[0, 1] for c in range(3)]
    assert min(channels) > np.corrcoef(decoded[..., 0].ravel(), pixels[0][..., 2].ravel())[0, 1] + 0.1

    info = heard.messages["camera/camera_info"][0]
    assert (info.width, info.height, info.distortion_model) == (WIDTH, HEIGHT, "rational_polynomial")
    assert list(info.d) == pytest.approx([k / 100 for k in range(1, 9)])
    assert list(info.k) == [150.0, 0, 81, 0, 151.0, 61, 0, 0, 1]
    assert list(info.p) == [150.0, 0, 81, 0, 0, 151.0, 61, 0, 0, 0, 1, 0]

    first, last = heard.messages["imu"][0], heard.messages["imu"][-1]
    assert first.linear_acceleration.z == pytest.approx(9.80665)
    assert first.angular_velocity.x == pytest.approx(math.pi / 2)
    assert first.orientation_covariance[0] == -1  # no estimate, REP-145
    assert (last.orientation.w, last.orientation_covariance[0]) == (1.0, 0.0)

    status = heard.messages["/diagnostics"][-1].status[0]
    assert {value.key for value in status.values} >= {"clock offset host - device [ms]", "round trip [ms]"}


def write_bag(folder: Path, messages: dict[str, list[Any]]) -> Path:
    """A bag of what was heard: JPEG frames and gaze."""
    from rclpy.serialization import serialize_message

    from gaze_vlm_ros.bags.writer import BagWriter

    writer = BagWriter(folder, {})
    kinds = {"camera/image_raw/compressed": "sensor_msgs/msg/CompressedImage", "gaze": "gaze_vlm_msgs/msg/GazeStamped"}
    for topic, kind in kinds.items():
        writer.add_topic(f"/{topic}", kind)
        for message in messages[topic]:
            writer.write(f"/{topic}", serialize_message(message), stamp_ns(message) + 40_000_000)
    writer.close()
    return folder


def test_real_recording_lies_in_the_bag_at_its_own_time(
    neon_window: Path, heard: Heard, domain: int, tmp_path: Path
) -> None:
    device_log, delivered_log = tmp_path / "device.json", tmp_path / "delivered.json"
    command = [sys.executable, "-m", "gaze_vlm_ros.sim.neon_device", str(neon_window), "--port", "0", "--once"]
    command += ["--clock-offset-s", "-7.5", "--drift-ppm", "-50", "--transport", "tcp", "--log", str(device_log)]
    device = subprocess.Popen(command, env=environment(0), stdout=subprocess.PIPE, text=True)
    assert device.stdout is not None
    port = int(device.stdout.readline().rsplit(":", 1)[1])
    topics = ["camera/image_raw/compressed", "gaze"]
    heard.listen_to(*topics)  # not to the raw images: 170 MB/s of them would be too much for a small machine
    node = start_node(
        domain,
        address=f"127.0.0.1:{port}",
        delivered_log=delivered_log,
        wait_for_subscribers=f"[{','.join(topics)}]",
    )
    try:
        heard.wait_for({"camera/image_raw/compressed": 144, "gaze": 639}, node)
        assert device.wait(timeout=200) == 0
    finally:
        node.send_signal(signal.SIGTERM)
        node.communicate(timeout=200)
        device.kill()
    check = check_replay(write_bag(tmp_path / "bag", heard.messages), neon_window, delivered_log, device_log)
    assert check.ok, check.table()
    assert [(s.name, s.recorded, s.delivered, s.in_bag) for s in check.streams] == [
        ("world", 144, 144, 144),
        ("gaze", 639, 639, 639),
    ]
    assert max(s.device_error_ms for s in check.streams) < 0.05
    assert "every delivered sample is in the bag" in check.table()

    heard.messages["gaze"][100].x += 0.5
    heard.messages["gaze"][101].worn = 1
    del heard.messages["camera/image_raw/compressed"][7]
    check = check_replay(write_bag(tmp_path / "worse", heard.messages), neon_window, delivered_log, device_log)
    assert not check.ok
    frames, gaze = check.streams
    assert (frames.in_bag, gaze.in_bag) == (143, 639)
    assert gaze.gaze_error_px == pytest.approx(0.5)
    assert gaze.worn_differs == 1
    with pytest.raises(NoReplayLog, match="is not a replay log"):
        check_replay(tmp_path / "bag", neon_window, tmp_path / "none.json", device_log)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"address": "neon.local:x"}, "device address 'neon.local:x' is not host:port"),
        ({"address": "127.0.0.1:9", "connect_timeout_s": 0.1}, "no glasses answer at 127.0.0.1:9"),
        ({"address": "127.0.0.1:9", "streams": "[nose]"}, "stream 'nose' is none of world, gaze, imu, eyes, audio"),
        ({"rtp_transport": "pigeon"}, "rtp_transport is 'pigeon', expected auto, udp or tcp"),
        ({"clock_period_s": "often"}, "clock_period_s is 'often', expected something like 5.0"),
        ({"eye_events": "sometimes"}, "eye_events is 'sometimes', expected something like True"),
        ({"use_sim_time": "true"}, "use_sim_time is set"),
    ],
)
def test_what_cannot_work_ends_in_one_line(domain: int, parameters: dict[str, Any], message: str) -> None:
    node = start_node(domain, **parameters)
    _, errors = node.communicate(timeout=200)
    assert node.returncode == 1
    assert errors.strip().splitlines()[-1].startswith(f"eye_tracker: error: {message}")
    assert "Traceback" not in errors


def test_sigterm_while_waiting_for_subscribers(domain: int) -> None:
    node = start_node(domain, address="127.0.0.1:9", wait_for_subscribers="[gaze]")
    assert node.stderr is not None
    assert any("waiting for a subscriber of gaze" in line for line in iter(node.stderr.readline, ""))
    node.send_signal(signal.SIGTERM)
    _, errors = node.communicate(timeout=200)
    assert node.returncode == 0
    assert "Traceback" not in errors


def test_a_full_disk_under_its_output_does_not_end_it_in_a_traceback(domain: int, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        node = start_node(
            domain, stdout=full, address="127.0.0.1:9", wait_for_subscribers="[gaze]",
            delivered_log=tmp_path / "delivered.json",
        )  # fmt: skip
    assert node.stderr is not None
    assert any("waiting for a subscriber of gaze" in line for line in iter(node.stderr.readline, ""))
    node.send_signal(signal.SIGINT)
    _, errors = node.communicate(timeout=200)
    # A signal may come after a line is on the screen and before rcl has published it; rcl then says so itself.
    said = ("[INFO]", "Failed to publish log message to rosout")
    own = [line for line in errors.splitlines() if not line.startswith(said)]
    assert (node.returncode, own) == (0, [])
    assert (tmp_path / "delivered.json").exists()  # written after what is printed


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("nothing", True),
        ("a sample is not in the bag", False),
        ("a stamp is late", False),
        ("one more in the bag", False),
    ],
)
def test_check_finds_what_is_wrong(synthetic: Synthetic, change: str, expected: bool) -> None:
    recording = read_recording(synthetic.folder)
    clock = SkewedClock(3.2, 50.0)
    starts = np.array([clock.epoch_host_ns + 10_000_000_000])
    device_ns = recording.gaze.stamps_ns - recording.span_ns[0] + starts[0]
    header_ns = np.array([clock.host_ns(stamp) for stamp in device_ns.tolist()])
    bag_ns = header_ns.copy()
    if change == "a sample is not in the bag":
        bag_ns = np.delete(bag_ns, 3)
    elif change == "a stamp is late":
        header_ns[5] += 2_100_000
        bag_ns[5] += 2_100_000
    elif change == "one more in the bag":
        bag_ns = np.append(bag_ns, bag_ns[-1] + 5_000_000)
    delivered = {"gaze": {"device_ns": device_ns.tolist(), "header_ns": header_ns.tolist()}}
    check, in_bag, in_recording = check_stream(
        "gaze", recording, recording.gaze.stamps_ns, delivered, starts, clock, bag_ns
    )
    assert check.ok is expected
    if expected:
        assert np.array_equal(in_bag, np.arange(80))
        assert np.array_equal(in_recording, np.arange(80))
