"""A small recording in the Companion app's native format, written on the spot, and the real one where it is."""

import json
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from pupil_labs.neon_recording.calib import Calibration
from pupil_labs.neon_recording.timeseries.imu.imu_pb2 import ImuPacket

WIDTH, HEIGHT = 162, 122  # not multiples of 16: the H.264 stream has to crop
START_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Synthetic:
    """What was written: stamps in ns, frames as decoded from the mp4."""

    folder: Path
    frame_ns: np.ndarray
    gaze_ns: np.ndarray
    gaze_px: np.ndarray
    worn: np.ndarray
    imu_ns: np.ndarray


def decode(video: Path) -> list[np.ndarray]:
    """All frames of an mp4, decoded from the file itself."""
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write_video(path: Path, frames: int, seed: int) -> None:
    """Noise, so that a frame needs several RTP packets; baseline profile without B-frames, as the glasses encode."""
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"profile": "baseline", "crf": "20", "preset": "fast", "sc_threshold": "0"}
        )
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv420p", 10
        stream.codec_context.time_base = Fraction(1, 30)
        for _ in range(frames):
            pixels = random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def write_recording(folder: Path) -> Synthetic:
    """Two parts with a gap between them; gaze that starts late, is taken off, and goes on after the video."""
    folder.mkdir()
    random = np.random.default_rng(7)
    (folder / "info.json").write_text(json.dumps({"start_time": START_NS, "module_serial_number": "123456"}))
    calibration = np.zeros((), Calibration.dtype)
    calibration["serial"] = b"123456"
    calibration["scene_camera_matrix"] = [[150.0, 0, 81], [0, 151.0, 61], [0, 0, 1]]
    calibration["scene_distortion_coefficients"] = np.arange(1, 9) / 100
    (folder / "calibration.bin").write_bytes(calibration.tobytes())
    frames, gazes, points, worns, imus = [], [], [], [], []
    for part, (start_ms, count) in enumerate([(0, 12), (600, 8)], start=1):
        jitter_ns = random.integers(-2_000_000, 2_000_000, count)
        frame_ns = START_NS + start_ms * 1_000_000 + np.arange(count) * 33_342_000 + jitter_ns
        write_video(folder / f"Neon Scene Camera v1 ps{part}.mp4", count, seed=part)
        frame_ns.astype("<i8").tofile(folder / f"Neon Scene Camera v1 ps{part}.time")
        samples = 40
        gaze_ns = START_NS + (start_ms + 150) * 1_000_000 + np.arange(samples) * 5_000_000
        xy = random.uniform(-10, 170, (samples, 2)).astype("<f4")
        worn = np.where(np.arange(samples) < 30, 255, 0).astype(np.uint8)
        gaze_ns.astype("<i8").tofile(folder / f"gaze ps{part}.time")
        xy.tofile(folder / f"gaze ps{part}.raw")
        np.append(worn, np.uint8(10)).tofile(folder / f"worn ps{part}.raw")  # one byte too many, as seen in the wild
        imu_ns = START_NS + start_ms * 1_000_000 + np.arange(30) * 9_000_000
        imu_ns.astype("<i8").tofile(folder / f"extimu ps{part}.time")
        with (folder / f"extimu ps{part}.raw").open("wb") as raw:
            for stamp_ns in imu_ns.tolist():
                packet = ImuPacket(tsNs=stamp_ns)
                packet.accelData.z = 1.0
                packet.gyroData.x = 90.0
                packet.rotVecData.w = 1.0 if part == 2 else 0.0  # no orientation at first
                data = packet.SerializeToString()
                raw.write(struct.pack("<H", len(data)) + data)
        for collected, values in zip(
            (frames, gazes, points, worns, imus), (frame_ns, gaze_ns, xy, worn, imu_ns), strict=True
        ):
            collected.append(values)
    together = (np.concatenate(values) for values in (frames, gazes, points, worns, imus))
    return Synthetic(folder, *together)


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_recording(tmp_path_factory.mktemp("neon") / "recording")


@pytest.fixture(scope="session")
def neon_window() -> Path:
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "neon_window"
    if not folder.is_dir():
        pytest.skip(f"the Neon recording is not at {folder}")
    return folder
