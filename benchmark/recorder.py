"""Measure what the recorder costs and loses: raw 1280x720 and JPEG 1600x1200 at several rates, with gaze at 200 Hz.

python benchmark/recorder.py [--seconds 20] [--out FOLDER]

Camera, tracker and recorder run in separate processes. Losses are counted from the publishers' sequence numbers in
the bag. CPU and memory are those of the recorder, from /proc, between its first and its last message; "MB then" is
its memory in the second and in the last tenth of the time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.nodes.child_processes import private_ros_environment

LOADS = [("raw", 30), ("raw", 60), ("raw", 120), ("raw", 180), ("jpeg", 30), ("jpeg", 120)]
TOPICS = {"raw": "camera/image_raw", "jpeg": "camera/image_raw/compressed"}
SIZES = {"raw": "1280x720 rgb8", "jpeg": "1600x1200 JPEG"}
HEADER = (
    f"{'load':<22}{'published':>10}{'in bag':>8}{'lost':>6}{'gaze':>7}{'lost':>6}"
    f"{'MB/s':>8}{'cores':>7}{'peak MB':>9}{'MB then':>12}{'waiting MB':>12}{'stall s':>9}"
)


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, which: str) -> float:
    """Return the resident memory of a process: VmRSS = now, VmHWM = peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(which)).split()[1]) / 1024


def missing(sequences: np.ndarray) -> int:
    """Return how many numbers between the first and the last are missing."""
    return int(sequences.max() - sequences.min() + 1 - len(np.unique(sequences)))


def run(kind: str, rate_hz: int, seconds: float, folder: Path) -> str:
    """Measure one load, remove its bag and return a line of the table."""
    environment = private_ros_environment()
    bag = folder / f"{kind}_{rate_hz}"
    parameters = {"bag": str(bag), "camera_topic": TOPICS[kind], "wait_s": 60.0, "split_mb": 0.0}
    (folder / "parameters.yaml").write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    load = str(Path(__file__).with_name("camera_load.py"))
    sources = [
        subprocess.Popen(
            [sys.executable, load, *arguments, str(seconds)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for arguments in ((kind, str(rate_hz)), ("gaze", "200"))
    ]
    recorder = subprocess.Popen(
        [sys.executable, "-m", "gaze_vlm_ros.nodes.recorder", "--ros-args", "--params-file",
         str(folder / "parameters.yaml")],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert recorder.stdout is not None
    said_by_recorder: list[str] = []
    reading = threading.Thread(target=lambda: said_by_recorder.extend(recorder.stdout or ()))
    reading.start()
    while not any("recording" in line for line in list(said_by_recorder)):
        time.sleep(0.02)
    before_s, began = cpu_s(recorder.pid), time.monotonic()
    memory = []
    while sources[0].poll() is None:
        memory.append(memory_mb(recorder.pid, "VmRSS"))
        time.sleep(0.5)
    tenth = max(1, len(memory) // 10)
    early, end = np.median(memory[tenth : 2 * tenth]), np.median(memory[-tenth:])
    said = [source.communicate()[0].strip() for source in sources]
    cores = (cpu_s(recorder.pid) - before_s) / (time.monotonic() - began)
    peak = memory_mb(recorder.pid, "VmHWM")
    recorder.send_signal(signal.SIGINT)
    recorder.wait()
    reading.join()
    name = f"{SIZES[kind]} {rate_hz} Hz"
    if any(source.returncode for source in sources):  # it has printed why
        shutil.rmtree(bag)
        return f"{name:<22}  nothing was measured: a source ended early"
    words = next(line for line in said_by_recorder if line.startswith("at most")).split()
    waiting_mb, stall_s = float(words[2]), float(words[-2])
    with open_bag(bag) as opened:
        counts, lost = [], []
        for topic in ("/" + TOPICS[kind], "/gaze"):
            sequences = np.array([opened.read(topic).sequence(i) for i in range(opened.topics[topic].count)])
            counts.append(len(sequences))
            lost.append(missing(sequences))
        times_ns = opened.read("/" + TOPICS[kind]).arrivals_ns
        rate = opened.size_bytes / 1e6 / ((times_ns[-1] - times_ns[0]) / 1e9)
    shutil.rmtree(bag)
    published = said[0].split()[0]
    late = int(said[0].rpartition(",")[2].split()[0])
    note = f"  the source was late {late} times" if late else ""
    return (
        f"{name:<22}{published:>10}{counts[0]:>8}{lost[0]:>6}{counts[1]:>7}{lost[1]:>6}"
        f"{rate:>8.0f}{cores:>7.2f}{peak:>9.0f}{f'{early:.0f}, {end:.0f}':>12}{waiting_mb:>12.1f}{stall_s:>9.3f}{note}"
    )


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each load, s (default: 20)")
    parser.add_argument("--out", type=Path, help="folder on the disk to measure (default: a temporary one)")
    parser.add_argument("--load", help="run only this load, e.g. raw:30")
    arguments = parser.parse_args()
    loads = LOADS
    if arguments.load:
        kind, _, rate = arguments.load.partition(":")
        loads = [(kind, int(rate))]
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        for kind, rate_hz in loads:
            print(run(kind, rate_hz, arguments.seconds, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
