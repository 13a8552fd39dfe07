"""The optional streams of the glasses, eye video and sound: through sockets, and through the node over DDS."""

import asyncio
import contextlib
import json
import shutil
import signal
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from neon_fixtures import decode
from neon_runs import write_unique_recording
from patient_loop import host_clocks, patient_loop, run_patiently
from pupil_labs.realtime_api.streaming.audio import receive_audio_frames
from test_eye_tracker import Heard, domain, heard, stamp_ns, start_node  # noqa: F401  # fixtures too
from test_eye_tracker_faults import replay

from gaze_vlm_ros.neon.address import Address
from gaze_vlm_ros.neon.client import NeonClient
from gaze_vlm_ros.neon.description import Description, sound_config
from gaze_vlm_ros.neon.recording import NativeRecording, read_recording
from gaze_vlm_ros.neon.samples import UnreadableSample, read_sound
from gaze_vlm_ros.sim.neon_device.clock import SkewedClock
from gaze_vlm_ros.sim.neon_device.device import DeviceSettings, NeonDevice

RATE_HZ = 16_000


def write_recording_with_eyes_and_sound(folder: Path) -> NativeRecording:
    """Two seconds: scene video with a sound track, a chirp; eye video of 60 Hz, of which no two frames are alike."""
    start_ns = write_unique_recording(folder, 2).span_ns[0] + 50_000_000
    scene, eyes = (folder / f"Neon {camera} v1 ps1.mp4" for camera in ("Scene Camera", "Sensor Module"))
    silent = folder / "silent.mp4"
    shutil.move(scene, silent)
    seconds = np.arange(2 * RATE_HZ) / RATE_HZ
    chirp = (0.5 * np.sin(2 * np.pi * (300 + 400 * seconds) * seconds)).astype(np.float32)
    with av.open(str(silent)) as video, av.open(str(scene), "w") as container:
        pictures = container.add_stream_from_template(video.streams.video[0])
        sound = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        for packet in video.demux(video.streams.video[0]):
            if packet.size:
                packet.stream = pictures
                container.mux(packet)
        for start in range(0, len(chirp), 1024):
            frame = av.AudioFrame.from_ndarray(chirp[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    silent.unlink()
    random = np.random.default_rng(3)
    with av.open(str(eyes), "w") as container:
        stream = container.add_stream("libx264", rate=60, options={"profile": "baseline", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 48, "yuv420p", 10
        for _ in range(110):
            pixels = np.repeat(random.integers(0, 256, (48, 96, 1), np.uint8), 3, axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    (start_ns + np.arange(110) * 16_666_667).astype("<i8").tofile(eyes.with_suffix(".time"))
    return read_recording(folder)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> NativeRecording:
    return write_recording_with_eyes_and_sound(tmp_path_factory.mktemp("eyes") / "recording")


def in_span(recording: NativeRecording) -> list[tuple[int, bytes]]:
    first_ns, last_ns = recording.span_ns
    return [(stamp, unit) for stamp, unit in recording.sound() if first_ns <= stamp <= last_ns]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_eye_frames_and_sound_arrive_whole_at_their_time(recording: NativeRecording, transport: str) -> None:
    data: dict[str, list[tuple[Any, int]]] = {"eyes": [], "audio": []}
    notices: list[str] = []

    async def run() -> NeonDevice:
        settings = DeviceSettings(
            port=0, once=True, clock=SkewedClock(3.2, 50.0), host_now_ns=patient_loop().unix_ns, start_delay_s=0.3,
            transport=transport,
        )  # fmt: skip
        async with NeonDevice(recording, settings) as device:
            client = NeonClient(
                Address("127.0.0.1", device.port), ("eyes", "audio"),
                lambda name, datum, _, host_ns: data[name].append((datum, host_ns)),
                lambda _, text: notices.append(text), **host_clocks(),
            )  # fmt: skip
            running = asyncio.ensure_future(client.run())
            await device.finished.wait()
            running.cancel()
            await asyncio.wait([running])
            assert client.states["audio"].stream.description.clock_rate_hz == RATE_HZ, notices
        return device

    device = run_patiently(run())
    for name, recorded_ns in (
        ("eyes", recording.eyes[0].stamps_ns.tolist()),
        ("audio", [stamp for stamp, _ in in_span(recording)]),
    ):
        truth = dict(device.streams[name].sent)
        errors_ms = [
            abs(host_ns - truth[stamp]) / 1e6 for (_, host_ns), stamp in zip(data[name], recorded_ns, strict=True)
        ]
        assert max(errors_ms) < 2, name
    frames = [frame.to_ndarray(format="rgb24") for frame, _ in data["eyes"]]
    assert all(np.array_equal(a, b) for a, b in zip(frames, decode(recording.eyes[0].path), strict=True))
    assert [units for units, _ in data["audio"]] == [[unit] for _, unit in in_span(recording)]


def test_the_vendors_own_reader_plays_the_simulated_microphone(recording: NativeRecording) -> None:
    sound: list[np.ndarray] = []

    async def run() -> None:
        settings = DeviceSettings(port=0, once=True, host_now_ns=patient_loop().unix_ns, start_delay_s=0.3)
        async with NeonDevice(recording, settings) as device:

            async def listen() -> None:
                async for frame in receive_audio_frames(f"rtsp://127.0.0.1:{device._rtsp.port}/?camera=world"):
                    sound.append(frame.to_ndarray())

            listening = asyncio.ensure_future(listen())
            await device.finished.wait()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    run_patiently(run())
    samples = np.concatenate(sound, axis=1)
    assert samples.shape[1] > 1.5 * RATE_HZ
    assert samples.std() == pytest.approx(0.5 / 2**0.5, abs=0.05)  # a sine of amplitude 0.5


@pytest.mark.parametrize(
    "payload", [b"", b"\x00", b"\x00\x10\x00", b"\x00\x10\x00\x10a", b"\x00\x10\x00\x08abc", b"\x00\x08\x10"]
)
def test_what_is_no_whole_access_unit_is_no_sound(payload: bytes) -> None:
    with pytest.raises(UnreadableSample, match="no whole access units"):
        read_sound(payload)


@pytest.mark.parametrize(
    ("parameters", "config"),
    [({"config": "1408"}, b"\x14\x08"), ({}, b""), ({"config": "no hex"}, b""), ({"config": 1408}, b"")],
)
def test_a_description_without_a_readable_configuration_stops_nothing(
    parameters: dict[str, Any], config: bytes
) -> None:
    assert sound_config(Description("mpeg4-generic", RATE_HZ, 97, parameters)) == config


def test_two_access_units_in_one_packet() -> None:
    assert read_sound(b"\x00\x20\x00\x10\x00\x18ABCDE") == [b"AB", b"CDE"]


def test_the_node_publishes_them_where_asked_to(
    recording: NativeRecording,
    heard: Heard,  # noqa: F811
    domain: int,  # noqa: F811
    tmp_path: Path,
) -> None:
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import CompressedImage, Image

    from gaze_vlm_msgs.msg import AudioStamped

    kinds = {"eyes/image_raw": Image, "eyes/image_raw/compressed": CompressedImage, "audio": AudioStamped}
    for topic, kind in kinds.items():
        heard.messages[topic] = []
        heard.node.create_subscription(kind, topic, heard.messages[topic].append, QoSProfile(depth=1000))
    heard.listen_to("/diagnostics")
    units = in_span(recording)
    with replay(recording.folder, tmp_path) as (device, port, log):
        wanted = f"[{','.join(kinds)}]"
        streams = "[eyes, audio]"
        node = start_node(domain, address=f"127.0.0.1:{port}", streams=streams, wait_for_subscribers=wanted)
        counts = {"eyes/image_raw": 110, "eyes/image_raw/compressed": 110, "audio": len(units), "/diagnostics": 1}
        heard.wait_for(counts, node)
        assert device.wait(timeout=200) == 0
        node.send_signal(signal.SIGINT)
        output, errors = node.communicate(timeout=200)
    assert node.returncode == 0, errors
    assert f"delivered 110 eyes, {len(units)} audio" in output
    truth = json.loads(log.read_text())
    clock = SkewedClock(**truth["clock"])
    shift_ns = truth["session_starts_ns"][0] - recording.span_ns[0]
    tolerance_ns = heard.tolerance_ns()
    audio = heard.messages["audio"]
    assert [bytes(message.data) for message in audio] == [unit for _, unit in units]
    assert {(m.codec, m.sample_rate, m.channels, bytes(m.config)) for m in audio} == {
        ("aac", RATE_HZ, 1, recording.sound_format()[1])
    }
    for topic, recorded in (
        ("audio", [stamp for stamp, _ in units]),
        ("eyes/image_raw", recording.eyes[0].stamps_ns.tolist()),
    ):
        true_ns = np.array([clock.host_ns(stamp + shift_ns) for stamp in recorded])
        assert (
            np.abs(np.array([stamp_ns(message) for message in heard.messages[topic]]) - true_ns).max() < tolerance_ns
        ), topic
    image = heard.messages["eyes/image_raw"][7]
    assert (image.encoding, image.width, image.height, image.step) == ("mono8", 96, 48, 96)
    # What a decoder makes of the messages alone is the chirp.
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = bytes(audio[0].config)
    sound = np.concatenate([f.to_ndarray() for m in audio for f in decoder.decode(av.Packet(bytes(m.data)))], axis=1)
    assert sound.std() == pytest.approx(0.5 / 2**0.5, abs=0.05)


def test_eyes_and_sound_of_the_real_recording(neon_window: Path) -> None:
    recording = read_recording(neon_window)
    assert [len(part.stamps_ns) for part in recording.eyes] == [827]
    assert recording.sound_format() == (44_100, b"\x12\x08")
    stamps_ns, _ = zip(*recording.sound(), strict=True)
    assert len(stamps_ns) == 208
    # The first unit lasts longer: an encoder's delay.
    np.testing.assert_allclose(np.diff(stamps_ns)[1:], 1024 / 44_100 * 1e9, atol=1e6)
    assert replace(recording, eyes=()).sound_format() is not None
