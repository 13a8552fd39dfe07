"""ROS 2 node: scene camera, gaze and IMU of a Neon, stamped with their acquisition time in ROS time.

Publishes camera/image_raw, camera/image_raw/compressed, camera/camera_info, gaze, imu and /diagnostics; on request
also eyes/image_raw, eyes/image_raw/compressed and audio.
"""

from __future__ import annotations

import math
from concurrent.futures import Future
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Imu
from std_msgs.msg import Header

from gaze_vlm_msgs.msg import AudioStamped, GazeStamped
from gaze_vlm_ros.neon.address import Address, discover
from gaze_vlm_ros.neon.client import EYE_EVENTS, NeonClient
from gaze_vlm_ros.neon.delivered_log import DeliveredLog
from gaze_vlm_ros.neon.gaze_delay import GazeDelay
from gaze_vlm_ros.neon.loop_thread import LoopThread
from gaze_vlm_ros.neon.rtsp_client import untested_versions
from gaze_vlm_ros.neon.samples import EyeEvent
from gaze_vlm_ros.neon.stream import CLOCK_SET, VIDEOS
from gaze_vlm_ros.nodes.barrier import Barrier
from gaze_vlm_ros.nodes.diagnostics import diagnostic_status
from gaze_vlm_ros.nodes.eye_tracker_diagnostics import (
    NOT_CONNECTED,
    StreamReports,
    device_status,
    stamps_refused,
    summary_lines,
)
from gaze_vlm_ros.nodes.eye_tracker_parameters import read_parameters
from gaze_vlm_ros.nodes.eye_tracker_video import VideoPublisher
from gaze_vlm_ros.nodes.neon_messages import (
    COLOUR,
    GREY,
    audio_messages,
    camera_info_message,
    gaze_message,
    header_at,
    imu_message,
)
from gaze_vlm_ros.nodes.running import run_node, until_shutdown
from gaze_vlm_ros.nodes.screen import Screen
from gaze_vlm_ros.terminal.text import escaped

# Two seconds of video, or 170 MB of decoded 1600x1200 frames. Further frames are dropped and counted.
FRAMES_WAITING = {"world": 60, "eyes": 400}


class EyeTracker(Node):
    """Threads: rclpy's executor; an asyncio loop that receives; one for each video, which encodes and publishes."""

    def __init__(self) -> None:
        super().__init__("eye_tracker")
        self._settings = read_parameters(self)
        self.barrier = Barrier(lambda text: self._notice(False, text))
        self._screen = Screen(self)
        self.log = self._screen.log
        self._create_publishers()
        self._stream_reports = StreamReports()
        self._delivered = DeliveredLog(self._settings.streams, self._settings.delivered_log)
        self._gaze_delay: GazeDelay[GazeStamped] = GazeDelay(self._settings.eye_state_delay_s)
        self._hardware_id = self._settings.address
        self._client: NeonClient | None = None
        self._loop = LoopThread("receive")
        self._running: Future[None] | None = None
        if untested := untested_versions():
            self.get_logger().warning(f"not tested with these library versions: {untested}")
        self.create_timer(0.1, self._supervise)
        self.create_timer(1.0, self._publish_diagnostics)

    def _create_publishers(self) -> None:
        def reliable(depth: int) -> QoSProfile:  # deep enough that a subscriber's pause of a second loses nothing
            return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)

        streams, quality = self._settings.streams, self._settings.jpeg_quality
        self._camera_info = self.create_publisher(CameraInfo, "camera/camera_info", reliable(30))
        self._gaze = self.create_publisher(GazeStamped, "gaze", reliable(1000))
        self._imu = self.create_publisher(Imu, "imu", reliable(1000))
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        if "audio" in streams:
            self._audio = self.create_publisher(AudioStamped, "audio", reliable(1000))
        self._videos = {
            "world": VideoPublisher(
                self,
                "camera/image_raw",
                COLOUR,
                reliable(30),
                FRAMES_WAITING["world"],
                quality,
                self._describe_frame,
                self.barrier,
            )
        }
        if "eyes" in streams:
            self._videos["eyes"] = VideoPublisher(
                self, "eyes/image_raw", GREY, reliable(200), FRAMES_WAITING["eyes"], quality, _eyes_header, self.barrier
            )

    # In the executor's thread.

    def _supervise(self) -> None:
        """Start to receive once the subscribers are there; raise the receiver's errors in the main thread."""
        if self._running is None:
            topics = self._settings.wait_for_subscribers
            missing = [topic for topic in topics if not self.count_subscribers(self.resolve_topic_name(topic))]
            if missing:
                self.get_logger().info(f"waiting for a subscriber of {', '.join(missing)}", throttle_duration_sec=5.0)
            else:
                self._running = self._loop.run(self._receive())
        elif self._running.done():
            self._running.result()

    def _publish_diagnostics(self) -> None:
        statuses = [NOT_CONNECTED]
        if (client := self._client) is not None:
            states = dict(client.states)
            statuses = [device_status(client.clock, states, self._gaze_delay, self._frames_dropped())]
            statuses += [self._stream_reports.report(name, state) for name, state in states.items()]
        message = DiagnosticArray(status=[diagnostic_status(self, *part, self._hardware_id) for part in statuses])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _frames_dropped(self) -> int:
        return sum(video.dropped for video in self._videos.values())

    # In the asyncio thread.

    async def _receive(self) -> None:
        given = self._settings
        address = Address.parse(given.address) if given.address else await discover(given.discovery_timeout_s)
        self._hardware_id = str(address)
        self._client = NeonClient(
            address,
            given.client_streams,
            self._take,
            self._notice,
            clock_period_s=given.clock_period_s,
            connect_timeout_s=given.connect_timeout_s,
            silent_s=given.stream_timeout_s,
            hold_s=given.hold_s,
            transport=given.rtp_transport,
        )
        await self._client.run()

    def _notice(self, is_good: bool, text: str) -> None:
        logger = self.get_logger()
        logger.info(escaped(text)) if is_good else logger.warning(escaped(text))

    def _take(self, stream: str, datum: Any, device_ns: int, header_ns: int) -> None:
        if not self.context.ok():
            return  # the sample came after the request to stop
        with self.barrier.around(stream):
            if stream == EYE_EVENTS:
                self._take_eye_event(datum)
                return
            self._delivered.add(stream, device_ns, header_ns)
            if stream in VIDEOS:
                self._videos[stream].put(datum.av_frame, header_ns)
            elif stream == "audio":
                self._publish_audio(datum, header_ns)
            elif stream == "imu":
                self._imu.publish(imu_message(datum, header_at(header_ns, self._settings.imu_frame_id)))
            else:
                self._take_gaze(datum, device_ns, header_ns)

    def _take_gaze(self, gaze: Any, device_ns: int, header_ns: int) -> None:
        assert self._client is not None
        header = header_at(header_ns, self._settings.frame_id)
        message = gaze_message(gaze, device_ns, header, self._client.frame_size)
        due_s = self._gaze_delay.hold(message, device_ns, self._loop.time())
        if self._gaze_delay.delay_s:
            self._loop.call_at(due_s, self._publish_gaze, due_s)
        else:
            self._publish_gaze(due_s)

    def _take_eye_event(self, event: EyeEvent | str) -> None:
        if isinstance(event, EyeEvent):
            assert self._client is not None
            self._gaze_delay.add_event(event, self._client.age_ns(event.known_ns))
        elif event == CLOCK_SET:
            self._publish_gaze()  # what is held has stamps of the clock as it was
            self._gaze_delay.forget_events()
        else:
            self._gaze_delay.miss_events()

    def _publish_gaze(self, until_s: float = math.inf) -> None:
        """Publish the gaze that is due by `until_s` of the loop's clock, with its eye state as known by now."""
        with until_shutdown(self):
            while self.context.ok() and (ready := self._gaze_delay.release(until_s)) is not None:
                message, eye_state = ready
                message.eye_state = eye_state
                self._gaze.publish(message)

    def _publish_audio(self, units: list[bytes], header_ns: int) -> None:
        assert self._client is not None
        description = self._client.states["audio"].stream.description
        assert description is not None
        for message in audio_messages(units, description, header_ns, self._settings.frame_id):
            self._audio.publish(message)

    # In the scene video's thread.

    def _describe_frame(self, frame: Any, stamp_ns: int) -> Header:
        """Publish the camera_info of a scene frame; return their common header."""
        header = header_at(stamp_ns, self._settings.frame_id)
        calibration = self._client.calibration if self._client else None
        self._camera_info.publish(camera_info_message(frame.width, frame.height, header, calibration))
        return header

    def close(self) -> int:
        """Leave the device, publish what waits and print what was delivered; return the exit code."""
        if self._running is not None:
            self._running.cancel()
        self._loop.stop()
        for video in self._videos.values():
            video.close()
        streams = [state.stream for state in self._client.states.values()] if self._client else []
        dropped = self._frames_dropped()
        # On the screen: after SIGINT the logger's context is gone. A full disk under it must not cost what follows.
        for line in summary_lines(self._delivered.counts, streams, dropped, len(self._gaze_delay)):
            self._screen.show(f"eye_tracker: {line}")
        self._screen.close()
        losses = {stream.name: stream.losses() for stream in streams}
        self._delivered.write(stamps_refused(streams), dropped, losses)
        return 0


def _eyes_header(_: Any, stamp_ns: int) -> Header:
    """Return the header of a picture of both eyes, side by side."""
    return header_at(stamp_ns, "neon_eye_cameras")


def main() -> int:
    """Run the node; return its exit code."""
    return run_node("eye_tracker", EyeTracker)


if __name__ == "__main__":
    raise SystemExit(main())
