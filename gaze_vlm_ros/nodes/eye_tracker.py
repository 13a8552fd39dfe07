"""ROS 2 node: scene camera, gaze and IMU of a Neon, stamped with their acquisition time in ROS time.

Publishes camera/image_raw, camera/image_raw/compressed, camera/camera_info, gaze, imu and /diagnostics; if asked
to, eyes/image_raw, eyes/image_raw/compressed and audio.
"""

from __future__ import annotations

import asyncio
import json
import math
import queue
import threading
from array import array
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu
from std_msgs.msg import Header

from gaze_vlm_msgs.msg import AudioStamped, GazeStamped
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.neon.address import Address, discover
from gaze_vlm_ros.neon.client import EYE_EVENTS, STREAMS, NeonClient, StreamState
from gaze_vlm_ros.neon.eye_states import EyeStates
from gaze_vlm_ros.neon.rtsp_client import untested_versions
from gaze_vlm_ros.neon.samples import AAC_UNIT_SAMPLES, EyeEvent
from gaze_vlm_ros.neon.stream import CLOCK_SET, VIDEOS, sound_config
from gaze_vlm_ros.nodes.diagnostics import diagnostic_status
from gaze_vlm_ros.nodes.neon_messages import COLOUR, GREY, STANDARD_GRAVITY_M_S2, PictureKind
from gaze_vlm_ros.nodes.parameters import BadParameter, declared_like
from gaze_vlm_ros.nodes.running import run_node
from gaze_vlm_ros.nodes.screen import Screen
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.video.images import encode_jpeg

# Two seconds, or 170 MB of decoded 1600x1200 frames; when publishing falls further behind, frames are lost and counted.
FRAMES_WAITING = {"world": 60, "eyes": 400}
LONGEST_EYE_STATE_DELAY_S = 5.0  # eye_states remembers events for twice as long


class EyeTracker(Node):
    """Threads: rclpy's executor; an asyncio loop that receives; one a video that encodes and publishes its frames."""

    def __init__(self) -> None:
        super().__init__("eye_tracker")
        self._read_parameters()
        # Reliable, and deep enough that a subscriber's pause of a second loses nothing.
        image_qos = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
        sample_qos = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
        self._image = self.create_publisher(Image, "camera/image_raw", image_qos)
        self._compressed = self.create_publisher(CompressedImage, "camera/image_raw/compressed", image_qos)
        self._camera_info = self.create_publisher(CameraInfo, "camera/camera_info", image_qos)
        self._gaze = self.create_publisher(GazeStamped, "gaze", sample_qos)
        self._imu = self.create_publisher(Imu, "imu", sample_qos)
        eye_qos = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
        if "eyes" in self._streams:
            self._eyes = self.create_publisher(Image, "eyes/image_raw", eye_qos)
            self._eyes_compressed = self.create_publisher(CompressedImage, "eyes/image_raw/compressed", eye_qos)
        if "audio" in self._streams:
            self._audio = self.create_publisher(AudioStamped, "audio", sample_qos)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)

        self._delivered: dict[str, int] = dict.fromkeys(self._streams, 0)
        self._lost_before: dict[str, int] = {}  # of each stream, at the last diagnostics
        self._eye_states = EyeStates()
        self._event_delay_ms = 0.0  # longest from the gaze that an eye event ends with to the event's arrival
        self._held_gaze: deque[tuple[float, GazeStamped]] = deque()  # until that time of the loop, for its eye state
        self._delivered_stamps: dict[str, dict[str, list[int]]] = {
            name: {"device_ns": [], "header_ns": []} for name in self._streams
        }
        self._frames_dropped = 0
        self._client: NeonClient | None = None
        publish = {"world": self._publish_frame, "eyes": self._publish_eyes}
        self._frames: dict[str, queue.Queue[tuple[Any, int] | None]] = {}
        self._frame_threads: list[threading.Thread] = []
        for name in VIDEOS:
            if name in self._streams:
                self._frames[name] = queue.Queue(FRAMES_WAITING[name])
                work = (self._frames[name], publish[name])
                self._frame_threads.append(threading.Thread(target=self._publish_frames, args=work, name=name))
                self._frame_threads[-1].start()
        self._loop = asyncio.new_event_loop()
        self._receiver = threading.Thread(target=self._loop.run_forever, name="receive")
        self._receiver.start()
        self._running: Future[None] | None = None
        if untested := untested_versions():
            self.get_logger().warning(f"not tested with these libraries: {untested}")
        self.create_timer(0.1, self._supervise)
        self.create_timer(1.0, self._publish_diagnostics)

    def _read_parameters(self) -> None:
        self._address = declared_like(self, "address", "")
        self._discovery_timeout_s = declared_like(self, "discovery_timeout_s", 10.0)
        self._connect_timeout_s = declared_like(self, "connect_timeout_s", 15.0)
        self._streams = tuple(declared_like(self, "streams", ["world", "gaze", "imu"]))
        self._transport = declared_like(self, "rtp_transport", "auto")
        self._frame_id = declared_like(self, "frame_id", "scene_camera_optical_frame")
        self._imu_frame_id = declared_like(self, "imu_frame_id", "neon_imu")
        self._clock_period_s = declared_like(self, "clock_period_s", 5.0)
        self._silent_s = declared_like(self, "stream_timeout_s", 5.0)
        self._hold_s = declared_like(self, "hold_s", 10.0)
        self._eye_events = declared_like(self, "eye_events", True)
        self._eye_state_delay_s = declared_like(self, "eye_state_delay_s", 0.0)
        self._jpeg_quality = declared_like(self, "jpeg_quality", 90)
        self._delivered_log = declared_like(self, "delivered_log", "")
        self._wanted_subscribers = [topic for topic in declared_like(self, "wait_for_subscribers", [""]) if topic]
        if self._transport not in ("auto", "udp", "tcp"):
            raise BadParameter(f"rtp_transport is '{self._transport}', expected auto, udp or tcp")
        if self.get_parameter("use_sim_time").value:
            raise BadParameter("use_sim_time is set, but glasses run in real time; unset it for this node")
        if not 1 <= self._jpeg_quality <= 100:
            raise BadParameter(f"jpeg_quality is {self._jpeg_quality}, expected 1 to 100")
        seconds = {
            "clock_period_s": self._clock_period_s,
            "stream_timeout_s": self._silent_s,
            "hold_s": self._hold_s,
            "discovery_timeout_s": self._discovery_timeout_s,
            "connect_timeout_s": self._connect_timeout_s,
        }
        for name, value in seconds.items():
            if not 0 < value < math.inf:
                raise BadParameter(f"{name} is {value:g}, expected a number of seconds above 0")
        if EYE_EVENTS in self._streams:
            raise BadParameter(
                f"streams has {EYE_EVENTS}, expected some of {', '.join(STREAMS)}; set eye_events instead"
            )
        if not 0 <= self._eye_state_delay_s <= LONGEST_EYE_STATE_DELAY_S:
            longest = f"0 to {LONGEST_EYE_STATE_DELAY_S:g}"
            raise BadParameter(f"eye_state_delay_s is {self._eye_state_delay_s:g}, expected {longest} s")
        if self._address:
            Address.parse(self._address)  # say so at once

    # In the executor's thread.

    def _supervise(self) -> None:
        """Start receiving once the subscribers are there; bring the receiver's errors to the main thread."""
        if self._running is None:
            missing = [t for t in self._wanted_subscribers if not self.count_subscribers(self.resolve_topic_name(t))]
            if missing:
                self.get_logger().info(f"waiting for a subscriber of {', '.join(missing)}", throttle_duration_sec=5.0)
            else:
                self._running = asyncio.run_coroutine_threadsafe(self._receive(), self._loop)
        elif self._running.done():
            self._running.result()

    def _publish_diagnostics(self) -> None:
        client = self._client
        states = dict(client.states) if client is not None else {}
        message = DiagnosticArray(status=[self._device_status(states)])
        message.status += [self._stream_status(name, state) for name, state in states.items()]
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _device_status(self, states: dict[str, StreamState]) -> DiagnosticStatus:
        client = self._client
        latest = client.clock.latest if client is not None else None
        if client is None or latest is None:
            return self._status("glasses", DiagnosticStatus.WARN, "not connected", {})
        level, text = DiagnosticStatus.OK, "receiving"
        if lost := ", ".join(name for name, state in states.items() if state.lost):
            level, text = DiagnosticStatus.ERROR, f"lost: {lost}"
        values: dict[str, object] = {
            "clock offset host - device [ms]": f"{latest.offset_ns / 1e6:.3f}",
            "clock offset uncertainty [ms]": f"{latest.uncertainty_ns / 1e6:.3f}",
            "round trip [ms]": f"{latest.round_trip_ns / 1e6:.3f}",
            "clock drift of the device [ppm]": f"{client.clock.drift_ppm:.2f}",
            "clock steps": client.clock.steps,
            "impossible stamps refused": sum(sum(state.stream.guard.refused.values()) for state in states.values()),
            "frames dropped": self._frames_dropped,
            "reconnections": sum(state.connections for state in states.values()),
        }
        if EYE_EVENTS in states:
            values["longest delay of an eye event [ms]"] = f"{self._event_delay_ms:.0f}"
            values["eye states that a later event contradicted"] = self._eye_states.contradicted
        return self._status("glasses", level, text, values)

    def _stream_status(self, name: str, state: StreamState) -> DiagnosticStatus:
        """ERROR while it is lost, WARN while something of it gets lost or waits for its time, otherwise OK."""
        stream = state.stream
        losses = stream.losses()
        lost = sum(losses.values())
        lost_now = lost - self._lost_before.get(name, 0)
        self._lost_before[name] = lost
        level, text = DiagnosticStatus.OK, "receiving"
        if state.lost:
            level, text = DiagnosticStatus.ERROR, f"lost: {state.lost}"
        elif stream.waiting > 1:
            level, text = DiagnosticStatus.WARN, f"{stream.waiting} samples wait for their time"
        elif lost_now:
            level, text = DiagnosticStatus.WARN, f"{lost_now} packets or samples lost or refused since the last report"
        elif not stream.delivered:
            level, text = DiagnosticStatus.WARN, "nothing came yet"
        values: dict[str, object] = {
            "delivered": stream.delivered,
            "connections that ended": state.connections,
            **losses,
        }
        if stream.last_unreadable:
            values["last that was unreadable"] = stream.last_unreadable
        return self._status(f"stream {name}", level, text, values)

    def _status(self, part: str, level: bytes, text: str, values: dict[str, object]) -> DiagnosticStatus:
        return diagnostic_status(self, part, level, text, values, hardware_id=self._address)

    # In the asyncio thread.

    async def _receive(self) -> None:
        address = Address.parse(self._address) if self._address else await discover(self._discovery_timeout_s)
        self._address = str(address)
        self._client = NeonClient(
            address,
            (*self._streams, *([EYE_EVENTS] if self._eye_events and "gaze" in self._streams else [])),
            self._take,
            self._notice,
            clock_period_s=self._clock_period_s,
            connect_timeout_s=self._connect_timeout_s,
            silent_s=self._silent_s,
            hold_s=self._hold_s,
            transport=self._transport,
        )
        await self._client.run()

    def _notice(self, is_good: bool, text: str) -> None:
        logger = self.get_logger()
        logger.info(text) if is_good else logger.warning(text)

    def _take(self, stream: str, datum: Any, device_ns: int, header_ns: int) -> None:
        try:
            if stream == EYE_EVENTS:
                self._take_eye_event(datum)
                return
            self._delivered[stream] += 1
            if self._delivered_log:
                self._delivered_stamps[stream]["device_ns"].append(device_ns)
                self._delivered_stamps[stream]["header_ns"].append(header_ns)
            if stream in VIDEOS:
                self._queue_frame(self._frames[stream], datum.av_frame, header_ns)
            elif stream == "audio":
                self._publish_sound(datum, header_ns)
            elif stream == "imu":
                self._imu.publish(self._imu_message(datum, header_ns))
            else:
                due_s = self._loop.time() + self._eye_state_delay_s
                self._held_gaze.append((due_s, self._gaze_message(datum, device_ns, header_ns)))
                if self._eye_state_delay_s:
                    self._loop.call_at(due_s, self._publish_gaze, due_s)
                else:
                    self._publish_gaze(due_s)
        except Exception:
            if self.context.ok():
                raise  # otherwise it came after the request to stop

    def _take_eye_event(self, event: EyeEvent | str) -> None:
        if event == CLOCK_SET:
            self._publish_gaze(math.inf)  # what is held has stamps of the clock as it was
            self._eye_states.forget()
            return
        if isinstance(event, str):
            self._eye_states.miss()
            return
        assert self._client is not None
        known_ns = event.start_ns if event.end_ns is None else event.end_ns
        delay_ms = (self._client.now_ns() - self._client.clock.to_host_ns(known_ns)) / 1e6
        self._event_delay_ms = max(self._event_delay_ms, delay_ms)
        self._eye_states.add(event)

    def _publish_gaze(self, due_s: float) -> None:
        """What is held until `due_s` of the loop's time, with the eye state as it is known by now."""
        while self._held_gaze and self._held_gaze[0][0] <= due_s and self.context.ok():
            _, message = self._held_gaze.popleft()
            message.eye_state = self._eye_states.at(nanoseconds(message.device_stamp))
            self._gaze.publish(message)

    def _publish_sound(self, units: list[bytes], header_ns: int) -> None:
        assert self._client is not None
        description = self._client.states["audio"].stream.description
        assert description is not None
        config = sound_config(description)
        for number, data in enumerate(units):
            rate_hz = description.clock_rate_hz
            message = AudioStamped(codec="aac", sample_rate=rate_hz, config=array("B", config), data=array("B", data))
            # ISO/IEC 14496-3 1.6.2.1: five bits of object type, four of frequency, four of channels.
            message.channels = config[1] >> 3 & 0xF if len(config) > 1 else 0
            message.header.stamp = time_of(header_ns + round(number * AAC_UNIT_SAMPLES / rate_hz * 1e9))
            message.header.frame_id = self._frame_id
            self._audio.publish(message)

    def _queue_frame(self, frames: queue.Queue[tuple[Any, int] | None], frame: Any, header_ns: int) -> None:
        try:
            frames.put_nowait((frame, header_ns))
        except queue.Full:
            self._frames_dropped += 1
            text = f"frames come faster than they are published: {self._frames_dropped} dropped so far"
            self.get_logger().warning(text, throttle_duration_sec=5.0)

    def _gaze_message(self, gaze: Any, device_ns: int, header_ns: int) -> GazeStamped:
        message = GazeStamped(x=float(gaze.x), y=float(gaze.y), confidence=math.nan)  # the glasses give none
        message.header.stamp = time_of(header_ns)
        message.header.frame_id = self._frame_id
        message.device_stamp = time_of(device_ns)
        message.worn = GazeStamped.WORN_YES if gaze.worn else GazeStamped.WORN_NO
        assert self._client is not None
        if self._client.frame_size is not None:
            message.image_width, message.image_height = self._client.frame_size
        return message

    def _imu_message(self, imu: Any, header_ns: int) -> Imu:
        """In SI units and in the sensor's own axes; covariances by REP-145: all zeros = unknown, -1 = no estimate."""
        message = Imu()
        message.header.stamp = time_of(header_ns)
        message.header.frame_id = self._imu_frame_id
        gyro, acceleration, rotation = imu.gyro_data, imu.accel_data, imu.quaternion
        velocity = message.angular_velocity
        velocity.x, velocity.y, velocity.z = (math.radians(value) for value in gyro)
        linear = message.linear_acceleration
        linear.x, linear.y, linear.z = (value * STANDARD_GRAVITY_M_S2 for value in acceleration)
        norm = math.hypot(*rotation)
        if abs(norm - 1.0) < 0.1:
            orientation = message.orientation
            orientation.x, orientation.y, orientation.z, orientation.w = (value / norm for value in rotation)
        else:  # all zeros before the sensor's fusion has settled
            message.orientation_covariance[0] = -1.0
        return message

    # In the threads of frames.

    def _publish_frames(self, frames: queue.Queue[tuple[Any, int] | None], publish: Callable[[Any, int], None]) -> None:
        while (item := frames.get()) is not None:
            try:
                publish(*item)
            except Exception:
                if self.context.ok():
                    raise
                self._frames_dropped += 1  # came after the request to stop

    def _publish_frame(self, frame: Any, header_ns: int) -> None:
        info = self._camera_info_message(frame.width, frame.height, header_ns)
        self._camera_info.publish(info)
        self._publish_picture(frame, info.header, COLOUR, self._image, self._compressed)

    def _publish_eyes(self, frame: Any, header_ns: int) -> None:
        """Both eyes side by side, as the cameras see them: grey."""
        header = Header(stamp=time_of(header_ns), frame_id="neon_eye_cameras")
        self._publish_picture(frame, header, GREY, self._eyes, self._eyes_compressed)

    def _publish_picture(
        self, frame: Any, header: Header, kind: PictureKind, raw: Publisher, compressed: Publisher
    ) -> None:
        """Converted, and encoded, only for topics that somebody reads."""
        wants_raw, wants_jpeg = (topic.get_subscription_count() > 0 for topic in (raw, compressed))
        if not wants_raw and not wants_jpeg:
            return
        # To start threads for each frame costs more.
        pixels = frame.reformat(format=kind.av_format, threads=1).to_ndarray()
        if wants_jpeg:
            jpeg = CompressedImage(header=header, format=f"{kind.encoding}; jpeg compressed {kind.in_jpeg}")
            jpeg.data = array("B", encode_jpeg(pixels, quality=self._jpeg_quality))  # bytes are copied one by one
            compressed.publish(jpeg)
        if wants_raw:
            image = Image(header=header, height=frame.height, width=frame.width, encoding=kind.encoding)
            image.step = kind.bytes_per_px * frame.width
            image.data = array("B", pixels.tobytes())
            raw.publish(image)

    def _camera_info_message(self, width: int, height: int, header_ns: int) -> CameraInfo:
        message = CameraInfo(width=width, height=height)
        message.header.stamp = time_of(header_ns)
        message.header.frame_id = self._frame_id
        calibration = self._client.calibration if self._client else None
        if calibration is not None:  # otherwise all zeros: an uncalibrated camera
            matrix = np.asarray(calibration.scene_camera_matrix, float).reshape(3, 3)
            message.distortion_model = "rational_polynomial"
            message.d = np.asarray(calibration.scene_distortion_coefficients, float).ravel().tolist()  # OpenCV's order
            message.k = matrix.ravel()
            message.r = np.eye(3).ravel()
            message.p = np.hstack([matrix, np.zeros((3, 1))]).ravel()
        return message

    def close(self) -> int:
        """Leave the device, publish what is waiting, and say what was delivered."""
        if self._running is not None:
            self._running.cancel()
        asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop)
        self._receiver.join(2.0)
        if self._receiver.is_alive():  # something in the vendor's client did not end: leave it
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._receiver.join(1.0)
        for frames in self._frames.values():
            frames.put(None)
        for publisher in self._frame_threads:
            publisher.join()
        streams = [state.stream for state in self._client.states.values()] if self._client else []
        refused = sum(sum(stream.guard.refused.values()) for stream in streams)
        counts = ", ".join(f"{count} {name}" for name, count in self._delivered.items())
        lost = f"{refused} stamps refused, {self._frames_dropped} frames dropped"
        if self._held_gaze:
            lost += f", {len(self._held_gaze)} gaze samples still held for their eye state"
        # Printed, for after SIGINT the logger's context is gone; a log on a full disk must not cost what follows.
        screen = Screen()
        screen.show(f"eye_tracker: the glasses delivered {counts}; {lost}")
        for stream in streams:
            if losses := ", ".join(f"{count} {what}" for what, count in stream.losses().items() if count):
                screen.show(f"eye_tracker: {stream.name} lost {losses}")
        screen.close()
        if self._delivered_log:
            log = {
                "streams": self._delivered_stamps,
                "refused": refused,
                "dropped": self._frames_dropped,
                "losses": {stream.name: stream.losses() for stream in streams},
            }
            Path(self._delivered_log).write_text(json.dumps(log))
        return 0


async def _end_tasks() -> None:
    """Cancel every task of the loop, give their goodbyes a moment, and stop the loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=1.0)
    asyncio.get_running_loop().stop()


def main() -> int:
    return run_node("eye_tracker", EyeTracker)


if __name__ == "__main__":
    raise SystemExit(main())
