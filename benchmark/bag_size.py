"""Measure what a camera costs in a bag, on disk and to read: the same pictures raw, as JPEG, H.264 and H.265.

python benchmark/bag_size.py [--seconds 20] [--rate 30] [--crf 18] [--neon FOLDER]

Pictures come from the simulated bench with gaze and labels, and from the scene video of a Neon recording if there is
one. Sizes are of whole bags. PSNR compares the pictures that a trainer reads with those that were coded. Times are
medians over rounds in which all forms take turns, as ratios to JPEG: in order; at random without a cache, as in a
recording much longer than the cache; and as a trainer reads, in windows of 4 frames over 3 s, 0.5 s apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.neon.recording import read_recording
from gaze_vlm_ros.sim.bench_session import FrameEvent, simulate, write_bag
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.video.frame_selection import pick_frames
from gaze_vlm_ros.video.frame_stream import FrameStream
from gaze_vlm_ros.video.images import RGB, encode_jpeg
from gaze_vlm_ros.video.picture_cache import SHARED_BYTES, PictureCache

NEON = Path(__file__).resolve().parents[2] / "shared/data/neon_window"
CAMERA, STILLS, RAW = "/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"
ENCODERS = {"H.264": "libx264", "H.265": "libx265"}
START_NS = 1_700_000_000_000_000_000
ROUNDS = 3
RANDOM_READS = 30
OBSERVATION_S, FRAMES, STRIDE_S = 3.0, 4, 0.5
# Shorter recordings give no window of 3 s.
SHORT_OBSERVATION_S = 1.0


def header(stamp_ns: int) -> Any:
    """Return a message header with this stamp."""
    stamp = message_class("builtin_interfaces/msg/Time")(*split_ns(stamp_ns))
    return message_class("std_msgs/msg/Header")(stamp, "camera")


def still(stamp_ns: int, format_: str, data: bytes) -> Any:
    """Return a CompressedImage message."""
    return message_class(STILLS)(header(stamp_ns), format_, np.frombuffer(data, np.uint8))


def raw(stamp_ns: int, picture: RGB) -> Any:
    """Return an Image message, rgb8."""
    height, width, _ = picture.shape
    return message_class(RAW)(header(stamp_ns), height, width, "rgb8", 0, 3 * width, picture.ravel())


def pictures(raw_bag: FrameStream) -> Iterator[tuple[int, RGB]]:
    """Yield (stamp in ns, (H, W, 3)) of every picture."""
    return ((stamp_ns, raw_bag.rgb(index)) for index, stamp_ns in enumerate(raw_bag.stamps_ns.tolist()))


def coded(raw_bag: FrameStream, encoder_name: str, rate_hz: float, crf: int) -> Iterator[tuple[int, bytes]]:
    """Encode like a live encoder: no B-frames, no delay, a keyframe each second."""
    encoder: Any = av.CodecContext.create(encoder_name, "w")
    encoder.width, encoder.height = raw_bag.size
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, round(rate_hz))
    encoder.gop_size, encoder.max_b_frames = round(rate_hz), 0
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "crf": str(crf)}
    if encoder_name == "libx265":
        encoder.options = {**encoder.options, "x265-params": "log-level=none:bframes=0"}
    packets = []
    for number, (_, picture) in enumerate(pictures(raw_bag)):
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    yield from zip(raw_bag.stamps_ns.tolist(), map(bytes, packets), strict=True)


def write(folder: Path, type_name: str, camera: Iterable[tuple[int, Any]], others: Path | None) -> None:
    """Write a bag of these camera messages and of all other topics of the bag `others`."""
    writer = BagWriter(folder, {"camera_topic": CAMERA})
    writer.add_topic(CAMERA, type_name)
    for stamp_ns, message in camera:
        writer.write_message(CAMERA, message, stamp_ns)
    if others:
        with open_bag(others) as bag:
            for topic, info in bag.topics.items():
                if topic != CAMERA:
                    writer.add_topic(topic, info.type_name)
                    for index, log_ns in enumerate(bag.read(topic).arrivals_ns.tolist()):
                        writer.write(topic, bytes(bag.read(topic).raw(index)), log_ns, sequence=index)
    writer.close()


def open_stream(folder: Path, kept_bytes: int = SHARED_BYTES) -> FrameStream:
    """Open the camera's frames with a separate, empty cache."""
    return FrameStream(open_bag(folder).read(CAMERA), PictureCache(kept_bytes))


def psnr_db(raw_bag: FrameStream, stream: FrameStream) -> float:
    """Return the PSNR of all pictures of a stream against the raw ones, dB."""
    errors = [
        float(np.mean(np.square(np.subtract(picture, stream.rgb(index), dtype=np.float32))))
        for index, (_, picture) in enumerate(pictures(raw_bag))
    ]
    mean = float(np.mean(errors))
    return 10 * np.log10(255**2 / mean) if mean else float("inf")


def touch(stream: FrameStream, index: int) -> None:
    """Read a picture; raw ones are mapped into memory, so touch each page."""
    stream.rgb(index).ravel()[::4096].sum()


def read_in_order(stream: FrameStream) -> int:
    """Read all pictures in order; return how many."""
    for index in range(len(stream)):
        touch(stream, index)
    return len(stream)


def read_at_random(stream: FrameStream) -> int:
    """Read RANDOM_READS random pictures; return how many."""
    for index in np.random.default_rng(0).integers(0, len(stream), RANDOM_READS).tolist():
        touch(stream, index)
    return RANDOM_READS


def read_windows(stream: FrameStream) -> int:
    """Read pictures as a trainer does, window by window; return how many."""
    span_s = float(stream.stamps_ns[-1] - stream.stamps_ns[0]) / 1e9
    observation_s = OBSERVATION_S if span_s > 2 * OBSERVATION_S else SHORT_OBSERVATION_S
    count = 0
    for at_s in np.arange(observation_s, span_s, STRIDE_S):
        last = int(np.searchsorted(stream.stamps_ns, stream.stamps_ns[0] + round(at_s * 1e9), side="right")) - 1
        picked = pick_frames(stream.stamps_ns, int(stream.stamps_ns[last]), observation_s, FRAMES)
        for index in picked.tolist():
            touch(stream, index)
        count += len(picked) > 0
    return count


READS = {"in order": read_in_order, "at random": read_at_random, "windows": read_windows}


def compare(bags: dict[str, Path]) -> None:
    """Print the table."""
    took: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for name, read in READS.items():
            for form, folder in bags.items():
                stream = open_stream(folder, 0 if read is read_at_random else SHARED_BYTES)
                began = time.perf_counter()
                count = read(stream)
                took.setdefault((form, name), []).append((time.perf_counter() - began) / count * 1e3)
    raw_bag = FrameStream(open_bag(bags["raw rgb8"]).read(CAMERA))
    median = {key: float(np.median(values)) for key, values in took.items()}
    print(f"{'camera':<24}{'MB/min':>9}{'PSNR dB':>9}{'open s':>8}", end="")
    print("".join(f"{name + ' ms':>14}{'/ JPEG':>8}" for name in READS))
    for form, folder in bags.items():
        began = time.perf_counter()
        stream = open_stream(folder)
        open_s = time.perf_counter() - began
        minutes = float(stream.stamps_ns[-1] - stream.stamps_ns[0]) * len(stream) / (len(stream) - 1) / 60e9
        size_mb = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        print(f"{form:<24}{size_mb / minutes:>9.1f}{psnr_db(raw_bag, stream):>9.1f}{open_s:>8.2f}", end="")
        print(
            "".join(f"{median[form, n]:>14.2f}{median[form, n] / median['JPEG, quality 90', n]:>8.2f}" for n in READS)
        )


def write_forms(
    folder: Path, shown: Iterable[tuple[int, RGB]], rate_hz: float, crf: int, others: Path | None, **more: Path
) -> dict[str, Path]:
    """Write a bag of each form; return them together with `more`, bags that exist already."""
    bags = {"raw rgb8": folder / "raw", "JPEG, quality 90": folder / "jpeg"}
    write(bags["raw rgb8"], RAW, ((stamp_ns, raw(stamp_ns, picture)) for stamp_ns, picture in shown), others)
    raw_bag = FrameStream(open_bag(bags["raw rgb8"]).read(CAMERA))
    if not bags["JPEG, quality 90"].exists():
        jpegs = ((stamp_ns, still(stamp_ns, "jpeg", encode_jpeg(picture))) for stamp_ns, picture in pictures(raw_bag))
        write(bags["JPEG, quality 90"], STILLS, jpegs, others)
    bags |= more
    for name, encoder in ENCODERS.items():
        try:
            av.codec.Codec(encoder, "w")
        except av.codec.codec.UnknownCodecError:
            print(f"(no {name}: PyAV has no {encoder} here)")
            continue
        form = f"{name}, {encoder} crf {crf}"
        bags[form] = folder / encoder
        packets = coded(raw_bag, encoder, rate_hz, crf)
        format_ = name.replace(".", "").lower()
        write(bags[form], STILLS, ((stamp_ns, still(stamp_ns, format_, data)) for stamp_ns, data in packets), others)
    return bags


def simulated(folder: Path, seconds: float, rate_hz: float, crf: int) -> None:
    """Print the table of the simulated bench."""
    settings = BenchSettings(duration_s=seconds, frame_rate_hz=rate_hz)
    print(f"simulated bench, {settings.width}x{settings.height}, {rate_hz:g} Hz, {seconds:g} s, with gaze and labels")
    write_bag(settings, folder / "jpeg", START_NS)
    shown = ((START_NS + event.t_ns, event.rgb) for event in simulate(settings) if isinstance(event, FrameEvent))
    compare(write_forms(folder, shown, rate_hz, crf, folder / "jpeg"))


def neon(folder: Path, recording: Path, crf: int) -> None:
    """Print the table of the scene video of a Neon recording."""
    (part, *_) = read_recording(recording).video

    def packets() -> Iterator[tuple[int, bytes]]:
        with av.open(str(part.path)) as container:
            stream = container.streams.video[0]
            to_annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)
            found = [out for packet in container.demux(stream) for out in to_annex_b.filter(packet) if out.size]
            yield from zip(part.stamps_ns.tolist(), map(bytes, found), strict=False)

    def shown() -> Iterator[tuple[int, RGB]]:
        with av.open(str(part.path)) as container:
            for stamp_ns, frame in zip(part.stamps_ns.tolist(), container.decode(video=0), strict=False):
                yield stamp_ns, frame.to_ndarray(format="rgb24")

    own = folder / "own"
    write(own, STILLS, ((stamp_ns, still(stamp_ns, "h264", data)) for stamp_ns, data in packets()), None)
    stamps_ns = part.stamps_ns
    rate_hz = 1e9 / float(np.median(np.diff(stamps_ns)))
    size = FrameStream(open_bag(own).read(CAMERA)).size
    print(f"\nNeon scene video, {size[0]}x{size[1]}, {rate_hz:.0f} Hz, {len(stamps_ns)} frames, only the camera")
    compare(write_forms(folder, shown(), rate_hz, crf, None, **{"H.264 of the glasses": own}))


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the simulated session, s (default: 20)")
    parser.add_argument("--rate", type=float, default=30.0, help="rate of its camera, Hz (default: 30)")
    parser.add_argument("--crf", type=int, default=18, help="quality of the encoders, lower is better (default: 18)")
    parser.add_argument("--neon", type=Path, default=NEON, help=f"recording folder (default: {NEON})")
    arguments = parser.parse_args()
    for run in ("simulated", "neon"):
        with tempfile.TemporaryDirectory() as folder:
            if run == "simulated":
                simulated(Path(folder), arguments.seconds, arguments.rate, arguments.crf)
            elif arguments.neon.is_dir():
                neon(Path(folder), arguments.neon, arguments.crf)
            else:
                print(f"\nno Neon recording at {arguments.neon}")


if __name__ == "__main__":
    main()
