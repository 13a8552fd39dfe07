"""Run simulated glasses against the client, and compute how far each delivered sample is from the truth."""

import asyncio
import contextlib
import functools
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from neon_fixtures import START_NS, decode
from patient_loop import patient_loop
from pupil_labs.neon_recording.timeseries.imu.imu_pb2 import ImuPacket

from gaze_vlm_ros.neon.address import Address
from gaze_vlm_ros.neon.client import NeonClient
from gaze_vlm_ros.neon.recording import NativeRecording, read_recording
from gaze_vlm_ros.sim.neon_device.clock import SkewedClock
from gaze_vlm_ros.sim.neon_device.device import DeviceSettings, NeonDevice
from gaze_vlm_ros.sim.neon_device.eye_events import BLINK_ROW, FIXATION_ROW, EyeEvent, Kind

STREAMS = ("world", "gaze", "imu")


def write_unique_recording(folder: Path, seconds: float, width: int = 64, height: int = 48) -> NativeRecording:
    """Video at 30 Hz, gaze at 200 Hz and IMU at 100 Hz, of which no two samples are the same."""
    folder.mkdir()
    random = np.random.default_rng(11)
    (folder / "info.json").write_text(json.dumps({"start_time": START_NS}))
    frames, samples, motions = int(30 * seconds), int(200 * seconds), int(100 * seconds)
    with av.open(str(folder / "Neon Scene Camera v1 ps1.mp4"), "w") as container:
        options = {"profile": "baseline", "crf": "24", "preset": "ultrafast", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, "yuv420p", 10
        stream.codec_context.time_base = Fraction(1, 30)
        for _ in range(frames):
            pixels = random.integers(0, 256, (height, width, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    frame_ns = START_NS + (np.arange(frames) * 1e9 / 30).astype(np.int64) + random.integers(0, 2_000_000, frames)
    frame_ns.astype("<i8").tofile(folder / "Neon Scene Camera v1 ps1.time")
    (START_NS + np.arange(samples) * 5_000_000).astype("<i8").tofile(folder / "gaze ps1.time")
    random.uniform(0, 60, (samples, 2)).astype("<f4").tofile(folder / "gaze ps1.raw")
    np.full(samples, 255, np.uint8).tofile(folder / "worn ps1.raw")
    imu_ns = START_NS + np.arange(motions) * 10_000_000
    imu_ns.astype("<i8").tofile(folder / "extimu ps1.time")
    with (folder / "extimu ps1.raw").open("wb") as raw:
        for number, stamp_ns in enumerate(imu_ns.tolist(), start=1):
            packet = ImuPacket(tsNs=stamp_ns)
            packet.accelData.z, packet.gyroData.x, packet.rotVecData.w = 1.0, number, 1.0
            data = packet.SerializeToString()
            raw.write(len(data).to_bytes(2, "little") + data)
    return read_recording(folder)


def write_eye_events(folder: Path, events: list[EyeEvent]) -> None:
    """Whole fixations, saccades and blinks, as the app records them."""
    moves = [(event.kind, event.start_ns, event.end_ns, *event.measures) for event in events if event.kind < Kind.BLINK]
    np.array(moves, FIXATION_ROW).tofile(folder / "fixations ps1.raw")
    blinks = [(event.start_ns, event.end_ns) for event in events if event.kind == Kind.BLINK]
    np.array(blinks, BLINK_ROW).tofile(folder / "blinks ps1.raw")


def first_seconds(recording: NativeRecording, seconds: float) -> NativeRecording:
    """The beginning of a recording with one part."""
    end_ns = recording.span_ns[0] + round(seconds * 1e9)
    (video,) = recording.video
    gaze, imu = recording.gaze, recording.imu
    gazes, motions = (int((stamps < end_ns).sum()) for stamps in (gaze.stamps_ns, imu.stamps_ns))
    return replace(
        recording,
        video=(replace(video, stamps_ns=video.stamps_ns[video.stamps_ns < end_ns]),),
        gaze=replace(gaze, stamps_ns=gaze.stamps_ns[:gazes], xy_px=gaze.xy_px[:gazes], worn=gaze.worn[:gazes]),
        imu=replace(imu, stamps_ns=imu.stamps_ns[:motions]),
    )


@dataclass
class Run:
    """One replay and what came of it."""

    recording: NativeRecording
    device: NeonDevice
    client: NeonClient
    data: dict[str, list[tuple[Any, int, int]]]  # stream: (datum, device ns, host ns)
    notices: list[str]
    _recorded_ns: dict[str, list[int | None]] = field(default_factory=dict)

    def recorded_ns(self, name: str) -> list[int | None]:
        """The recorded stamp of each delivered sample, by what it contains; None where the recording has no such."""
        if name not in self._recorded_ns:
            known = recorded_contents(self.recording.folder)[name]
            self._recorded_ns[name] = [known.get(content(name, datum)) for datum, _, _ in self.data[name]]
        return self._recorded_ns[name]

    def errors_ms(self, name: str) -> np.ndarray:
        """How far each delivered sample's host stamp is from its true acquisition; infinite where it is no sample."""
        truth = dict(self.device.streams[name].sent)
        return np.array(
            [
                abs(host_ns - truth[recorded_ns]) / 1e6 if recorded_ns in truth else np.inf
                for recorded_ns, (_, _, host_ns) in zip(self.recorded_ns(name), self.data[name], strict=True)
            ]
        )

    def assert_nothing_is_wrong(self, tolerance_ms: float = 2.0) -> None:
        """Every delivered sample is one that was sent, once, at its time."""
        for name in self.data:
            if name in STREAMS:
                errors_ms = self.errors_ms(name)
                assert (errors_ms < tolerance_ms).all(), (name, errors_ms.max(), int((errors_ms >= tolerance_ms).sum()))
                recorded_ns = self.recorded_ns(name)
                assert len(set(recorded_ns)) == len(recorded_ns), name
                assert (np.diff([host_ns for _, _, host_ns in self.data[name]]) > 0).all(), name

    def counts(self, name: str) -> tuple[int, int]:
        """Samples sent, samples delivered."""
        return self.device.streams[name].samples_sent, len(self.data[name])

    def losses(self, name: str) -> dict[str, int]:
        """Losses that the client counted, without zeros."""
        return {what: count for what, count in self.client.states[name].stream.losses().items() if count}


def content(name: str, datum: Any) -> Any:
    """What distinguishes a sample from all others."""
    if name == "gaze":
        return (datum.x, datum.y)
    if name == "imu":
        return datum.gyro_data.x
    # One thread: others would live as long as the frame, and there are thousands.
    rgb = datum.av_frame.reformat(format="rgb24", threads=1).to_ndarray()
    return hashlib.md5(rgb.tobytes()).digest()


@functools.cache
def recorded_contents(folder: Path) -> dict[str, dict[Any, int]]:
    """Recorded stamp by content, of each stream."""
    recording = read_recording(folder)
    digests = [hashlib.md5(frame.tobytes()).digest() for part in recording.video for frame in decode(part.path)]
    gaze, imu = recording.gaze, recording.imu
    return {
        "world": dict(zip(digests, recording.frame_stamps_ns.tolist(), strict=True)),
        "gaze": dict(zip(map(tuple, gaze.xy_px.tolist()), gaze.stamps_ns.tolist(), strict=True)),
        "imu": dict(zip(imu.angular_velocity_deg_s[:, 0].tolist(), imu.stamps_ns.tolist(), strict=True)),
    }


@dataclass
class Scenario:
    """What happens to the glasses during a replay, and how the client is set up."""

    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)  # of the device
    options: dict[str, Any] = field(default_factory=dict)  # of the client
    streams: tuple[str, ...] = STREAMS
    host_clock_set: tuple[float, float] = (0.0, 0.0)  # after so many seconds by so many
    meanwhile: Callable[[NeonDevice], Awaitable[None]] | None = None
    patience_s: float = 30.0  # beyond the recording


async def play(recording: NativeRecording, scenario: Scenario) -> Run:
    """Replay once to a client, on a PatientLoop."""
    loop = patient_loop()
    clock = SkewedClock(3.2, 50.0)
    settings = DeviceSettings(port=0, once=True, clock=clock, host_now_ns=loop.unix_ns, start_delay_s=0.3)
    after_s, by_s = scenario.host_clock_set
    set_at_s = loop.time() + after_s
    data: dict[str, list[tuple[Any, int, int]]] = {name: [] for name in scenario.streams}
    notices: list[str] = []
    recording = first_seconds(recording, scenario.seconds)
    async with NeonDevice(recording, replace(settings, **scenario.settings)) as device:
        client = NeonClient(
            Address("127.0.0.1", device.port),
            scenario.streams,
            lambda name, datum, device_ns, host_ns: data[name].append((datum, device_ns, host_ns)),
            lambda _, text: notices.append(text),
            now_ns=lambda: loop.unix_ns() + (round(by_s * 1e9) if loop.time() > set_at_s else 0),
            steady_ns=loop.steady_ns,
            **scenario.options,
        )
        tasks = [asyncio.ensure_future(client.run())]
        if scenario.meanwhile is not None:
            tasks.append(asyncio.ensure_future(scenario.meanwhile(device)))
        finished = asyncio.ensure_future(device.finished.wait())
        deadline = scenario.seconds + scenario.patience_s
        await asyncio.wait([tasks[0], finished], timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
        assert finished.done(), f"the replay did not end within {deadline} s; {notices}"
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    return Run(recording, device, client, data, notices)
