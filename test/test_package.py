"""What a package index, colcon and rosdep read of this repository."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INTERFACES = sorted(path for folder in ("msg", "srv") for path in (ROOT / "gaze_vlm_msgs" / folder).iterdir())


def test_versions_agree() -> None:
    import gaze_vlm_ros

    for manifest in ("package.xml", "gaze_vlm_msgs/package.xml"):
        assert ElementTree.parse(ROOT / manifest).findtext("version") == gaze_vlm_ros.__version__
    assert f'version="{gaze_vlm_ros.__version__}"' in (ROOT / "setup.py").read_text()


def test_an_install_puts_files_where_ros2_looks(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path, "build", "--build-base", tmp_path / "b",
         "install", "--prefix", tmp_path / "prefix", "--record", tmp_path / "record.txt",
         "--single-version-externally-managed"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    prefix = tmp_path / "prefix"
    executables = {path.name for path in (prefix / "lib" / "gaze_vlm_ros").iterdir()}
    assert {"eye_tracker", "recorder", "predictor", "predicates", "overlay", "simulator"} <= executables
    share = prefix / "share"
    assert (share / "ament_index/resource_index/packages/gaze_vlm_ros").is_file()
    assert {path.name for path in ROOT.glob("launch/*.launch.py")} == {
        path.name for path in (share / "gaze_vlm_ros/launch").iterdir()
    }
    assert (share / "gaze_vlm_ros/config/fastdds.xml").is_file()
    assert (share / "gaze_vlm_ros/training/__init__.py").is_file()
    top_level = {path.name for path in prefix.rglob("site-packages/*")}
    assert "gaze_vlm_ros" in top_level
    assert "training" not in top_level


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda path: path.name)
def test_every_interface_is_built_and_says_what_its_numbers_mean(interface: Path) -> None:
    assert f'"{interface.parent.name}/{interface.name}"' in (ROOT / "gaze_vlm_msgs/CMakeLists.txt").read_text()
    for line in interface.read_text().splitlines():
        # A number without its unit or meaning is a trap; constants explain themselves.
        if re.match(r"(float|uint|int)\d+(\[\])? \w+ *(#|$)", line):
            assert "#" in line, f"{interface.name}: no comment on {line!r}"


def test_messages_are_real_ros_messages() -> None:
    from rclpy.serialization import deserialize_message, serialize_message

    from gaze_vlm_msgs.msg import ActionPrediction, GazeStamped

    sent = GazeStamped(x=12.5, y=-3.0, image_width=1600, worn=GazeStamped.WORN_YES)
    assert deserialize_message(serialize_message(sent), GazeStamped) == sent
    assert ActionPrediction.STATUS_OK == 0


def test_rosdep_is_asked_only_for_what_it_installs_without_pip() -> None:
    """Ubuntu 24.04 refuses pip outside virtual environments, and a key that rosdep lacks ends all of `rosdep install`.

    The keys of Python libraries are those of apt packages in rosdep's list; all else is the group `robot`.
    """
    keys = {
        element.text or "" for element in ElementTree.parse(ROOT / "package.xml").getroot() if "depend" in element.tag
    }
    assert {key for key in keys if key.startswith(("python3-", "mcap"))} == {
        f"python3-{name}" for name in ("numpy", "opencv", "pil", "pytest", "scipy", "tqdm", "yaml")
    }


def test_the_image_does_the_steps_of_the_readme() -> None:
    readme, recipe = ((ROOT / path).read_text() for path in ("README.md", "docker/Dockerfile"))
    for step in (
        "rosdep install --from-paths src src/gaze_vlm_ros/gaze_vlm_msgs --ignore-src -y",
        "python3 -m venv --system-site-packages",
        "--group robot --group glasses",
        "venv/bin/python /usr/bin/colcon build --base-paths src/gaze_vlm_ros src/gaze_vlm_ros/gaze_vlm_msgs",
    ):
        assert step in readme
        assert step in recipe
