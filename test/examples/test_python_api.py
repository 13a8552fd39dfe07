"""The examples of the Python API run as a reader would run them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gaze_vlm_ros import encode_jpeg, open_bag, open_session

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(script: str, *arguments: object) -> list[str]:
    """Lines that the example prints; it must end well."""
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_read_a_bag(small_bags: Path) -> None:
    printed = run("read_a_bag.py", small_bags / "s0")
    assert "/gaze: 1800 x gaze_vlm_msgs/msg/GazeStamped" in printed
    assert "session s0: 360 frames of (96, 64) px, person 'p0'" in printed
    assert "labels: take the blue disc, take the red disc" in printed


def test_reading_takes_ten_lines() -> None:
    statements = [
        line for line in (EXAMPLES / "read_a_bag.py").read_text().partition("import sys")[2].splitlines() if line
    ]
    assert sum(line.startswith((" ", "for", "with", "if", "print", "session")) for line in statements) <= 11


def test_gaze_on_a_grid(small_bags: Path) -> None:
    printed = run("gaze_on_patches.py", small_bags / "s0", "--frame", 20)
    assert printed[0] == "frame 20: 10 gaze samples, 24 patches, sum 1.000"
    shares = [float(line.split()[0]) for line in printed[1:]]
    assert shares == sorted(shares, reverse=True)
    # The patch with the largest share holds, or touches, what was looked at.
    x0, y0, x1, y1 = map(int, re.findall(r"-?\d+", printed[1].partition("px")[2]))
    session = open_session(small_bags / "s0")
    assert session.gaze is not None
    x, y = session.gaze.xy[(session.gaze.stamps_ns <= session.frames.stamps_ns[20]).sum() - 1]
    assert x0 - 6 <= x <= x1 + 6
    assert y0 - 6 <= y <= y1 + 6


def test_gaze_on_a_models_own_tokens(small_bags: Path, small_checkpoint: Path) -> None:
    printed = run("gaze_on_patches.py", small_bags / "s0", "--frame", 20, "--model", small_checkpoint)
    assert re.fullmatch(r"frame 20: 10 gaze samples, \d+ patches, sum 1\.000", printed[0])


def test_predict_from_pictures(small_bags: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    session = open_session(small_bags / "s3")
    for number in range(30):
        (tmp_path / f"{number:03}.jpg").write_bytes(encode_jpeg(session.frames.rgb(number)))
    printed = run("predict_from_pictures.py", small_checkpoint, tmp_path, "--device", "cpu")
    assert len(printed) == 3
    probabilities = [float(line.split()[0]) for line in printed[1:]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert {line.partition(" ")[2] for line in printed[1:]} == {"take the red disc", "take the blue disc"}


def test_too_few_pictures_are_one_line(small_bags: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "predict_from_pictures.py", small_checkpoint, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(f"{tmp_path}: 0 pictures at 10 Hz are too few")


def test_write_a_bag(tmp_path: Path) -> None:
    assert run("write_a_bag.py", tmp_path / "mine") == [f"wrote {tmp_path / 'mine'}"]
    with open_bag(tmp_path / "mine") as bag:
        assert {name: topic.count for name, topic in bag.topics.items()} == {
            "camera/image_raw/compressed": 60, "gaze": 60, "label": 2,
        }  # fmt: skip
    session = open_session(tmp_path / "mine")
    assert session.frames.size == (320, 240)
    assert session.gaze is not None
    assert session.gaze.xy[0] == pytest.approx((40, 120))
    assert session.labels is not None
    assert session.labels.texts == ["take the red box", ""]


def test_every_example_has_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert {path.name for path in EXAMPLES.glob("*.py")} <= set(re.findall(r"\w+\.py", tests))
