"""Measure the CPU time and memory that turning bags into training windows takes, against the length of a bag.

python benchmark/conversion.py [--minutes 1 10 100] [--model tiny:smolvlm] [--image-size 96] [--folder DIR]

The bags come from the simulated bench: 1280x720 JPEG at 30 Hz, gaze at 200 Hz, labels. Windows use the default
settings, including optical flow. The simulation draws one minute; longer bags repeat its content with new stamps.
Each length is converted in its own process with one thread. Times are CPU times, which other programs on the machine
affect little; they exclude locating the model's visual tokens, which is done once per model. Memory is the peak of the
process's own memory; mapped pages of files, which the operating system can take back, are printed beside it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.labels.label_set import collect_labels
from gaze_vlm_ros.sim.bench_session import vocabulary, write_bag
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.vlm.tiny import build_tiny
from gaze_vlm_ros.vlm.token_boxes import visual_tokens
from training.data import conversion
from training.data.preparation import prepare
from training.data.recordings import load_recording
from training.settings import Settings

MINUTE_NS = 60 * 10**9
SIZE = (1280, 720)
START_NS = 1_700_000_000 * 10**9
SAMPLE_S = 0.05  # between two readings of the memory
MB = 1e6


def write_minutes(minute: Path, minutes: int, folder: Path) -> None:
    """Write the bag `minute`, repeated with new stamps, to `folder`."""
    with open_bag(minute) as bag:
        writer = BagWriter(folder, {**bag.metadata, "session": folder.name})
        for topic, info in bag.topics.items():
            writer.add_topic(topic, info.type_name)
        for number in range(minutes):
            for topic, message, log_ns in bag.messages():
                stamp_ns = log_ns + number * MINUTE_NS
                message.header.stamp.sec, message.header.stamp.nanosec = split_ns(stamp_ns)
                writer.write_message(topic, message, stamp_ns)
        writer.close()


class Memory:
    """Peaks of this process's memory, bytes."""

    own = 0  # not backed by a file
    mapped = 0  # pages of files, the bag's among them

    def look(self) -> None:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        self.own = max(self.own, 1024 * int(status["RssAnon"].split()[0]))
        self.mapped = max(self.mapped, 1024 * int(status["RssFile"].split()[0]))


@contextmanager
def watched(memory: Memory) -> Iterator[None]:
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            memory.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def timed(function: Any, seconds: dict[str, float], name: str) -> Any:
    def call(*given: Any, **options: Any) -> Any:
        began = time.process_time()
        try:
            return function(*given, **options)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.process_time() - began

    return call


def convert(bag: Path, model_name: str, image_size: int, cache: Path) -> dict[str, float]:
    """In a process of its own."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    settings = Settings()
    labels = collect_labels((text, "", "") for text in vocabulary())
    model, processor = build_tiny(model_name, [settings.question, *labels.texts], image_size=image_size)
    began = time.process_time()
    visual_tokens(model, processor, SIZE, settings.frames)
    boxes_s = time.process_time() - began  # located once per data set, however many bags it has: not counted
    seconds: dict[str, float] = {}
    for name, stage in (("_write_images", "images"), ("_write_gaze", "gaze"), ("_write_targets", "targets")):
        setattr(conversion, name, timed(getattr(conversion, name), seconds, stage))
    memory = Memory()
    memory.look()
    before = memory.own
    with watched(memory):
        began = time.process_time()
        recording = load_recording(bag, settings)
        seconds["open"] = time.process_time() - began
        data = prepare([recording], labels, settings, model, processor, cache)
        total_s = time.process_time() - began - boxes_s
    return {
        "video_s": recording.span_s, "frames": recording.frames, "windows": len(data.windows), "total_s": total_s,
        "before": before, "own": memory.own, "mapped": memory.mapped, **seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, nargs="+", default=[1, 10, 100], help="of video (default: 1 10 100)")
    parser.add_argument("--model", default="tiny:smolvlm", help="whose processor shrinks the frames (default: it)")
    parser.add_argument("--image-size", type=int, default=96, help="px, what a frame becomes (default: 96)")
    parser.add_argument("--folder", type=Path, help="where bags and windows lie meanwhile (default: $TMPDIR)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_bag(
            BenchSettings(duration_s=60, width=SIZE[0], height=SIZE[1], frame_rate_hz=30), folder / "minute", START_NS
        )
        size_mb = sum(file.stat().st_size for file in (folder / "minute").iterdir()) / MB
        print(f"simulated bench, 1280x720 JPEG, 30 Hz, {size_mb:.0f} MB a minute; {options.model}")
        print(
            f"{'min':>5}{'frames':>9}{'windows':>9}{'CPU s':>8}{'open':>7}{'images':>8}{'gaze':>7}{'targets':>9}"
            f"{'frames/s':>10}{'x real time':>13}{'MB before':>11}{'MB peak':>9}{'MB mapped':>11}"
        )
        for minutes in options.minutes:
            bag = folder / f"bag_{minutes}"
            write_minutes(folder / "minute", minutes, bag)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(convert, (bag, options.model, options.image_size, folder / f"cache_{minutes}"))
            for file in bag.iterdir():  # 100 minutes are gigabytes
                file.unlink()
            print(
                f"{minutes:>5}{found['frames']:>9}{found['windows']:>9}{found['total_s']:>8.1f}{found['open']:>7.1f}"
                f"{found['images']:>8.1f}{found['gaze']:>7.1f}{found['targets']:>9.1f}"
                f"{found['frames'] / found['total_s']:>10.0f}{found['video_s'] / found['total_s']:>13.1f}"
                f"{found['before'] / MB:>11.0f}{found['own'] / MB:>9.0f}{found['mapped'] / MB:>11.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
