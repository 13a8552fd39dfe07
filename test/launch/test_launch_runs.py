"""The launch files under `ros2 launch`, alone and included by the launch file of a robot."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ros_processes import finish, isolated_environment, start

pytest.importorskip("ros2launch", reason="ros2 launch comes with a ROS distribution, and there is none here")
ROOT = Path(__file__).parents[2]
# Includes a launch file of ours. The robot's own process waits for FILE, and a second for the end that must not come.
ROBOT = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

def generate_launch_description():
    own = DeclareLaunchArgument("config", default_value="{config}", description="the robot's own parameter file")
    robot = ExecuteProcess(cmd=["{python}", "-u", "{program}"], output="screen")
    ours = IncludeLaunchDescription(
        PythonLaunchDescriptionSource("{included}"), launch_arguments={arguments}.items())
    return LaunchDescription([own, robot, ours])
"""
PROGRAM = """
import pathlib, time
try:
    while not pathlib.Path("{file}").exists():
        time.sleep(0.05)
    time.sleep(1)
    print("the robot goes on")
except KeyboardInterrupt:
    print("the robot was stopped")
"""


class Launches:
    """Calls `ros2 launch`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        prefix = folder / "prefix"
        index, executables = prefix / "share/ament_index/resource_index/packages", prefix / "lib/gaze_vlm_ros"
        index.mkdir(parents=True)
        executables.mkdir(parents=True)
        (index / "gaze_vlm_ros").touch()
        for node in ("eye_tracker", "overlay", "predictor", "recorder", "simulator"):
            (executables / node).symlink_to(Path(sys.executable).parent / node)
        self.environment = isolated_environment()
        self.environment["AMENT_PREFIX_PATH"] = f"{prefix}:{self.environment['AMENT_PREFIX_PATH']}"

    def start(self, file: Path, **arguments: Any) -> subprocess.Popen[str]:
        command = "import sys; from ros2cli.cli import main; sys.exit(main())"
        given = [f"{name}:={value}" for name, value in arguments.items()]
        return start([sys.executable, "-c", command, "launch", str(file), *given], self.environment)

    def start_robot(self, included: str, **arguments: Any) -> subprocess.Popen[str]:
        config, program, file = (self.folder / name for name in ("robot.yaml", "robot.py", "robot.launch.py"))
        config.write_text("/**: {ros__parameters: {rate_hz: 1000.0}}")  # that a predictor refuses
        program.write_text(PROGRAM.format(file=self.folder / "dead"))
        path = ROOT / "launch" / included
        names = {"config": config, "python": sys.executable, "program": program, "included": path}
        file.write_text(ROBOT.format(**names, arguments={name: str(value) for name, value in arguments.items()}))
        return self.start(file)


@pytest.fixture
def launches(tmp_path: Path) -> Launches:
    return Launches(tmp_path)


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """What it prints, up to the line that matches."""
    output = ""
    for line in process.stdout or ():
        output += line
        if re.search(pattern, line):
            return output
    raise AssertionError(f"{pattern!r} was not printed: {output}")


def test_a_failed_predictor_ends_its_own_launch_with_code_1(launches: Launches) -> None:
    code, output = finish(launches.start(ROOT / "launch/infer.launch.py", checkpoint="/nowhere"))
    assert "predictor: error: no such checkpoint folder: /nowhere" in output
    assert "predictor-1 failed with exit code 1, and on_exit is shutdown" in output
    assert code == 1


@pytest.mark.parametrize(
    ("included", "says"), [("infer.launch.py", "no such checkpoint folder"), ("record.launch.py", "exists already")]
)
def test_an_included_node_that_fails_leaves_the_robot_alone(launches: Launches, included: str, says: str) -> None:
    """Nor does it take over the robot's arguments."""
    given = {"checkpoint": "/nowhere", "bag": launches.folder, "eye_tracker": False, "overlay": False}
    process = launches.start_robot(included, **given)
    output = read_until(process, r"process has died .*(predictor|recorder)")
    (launches.folder / "dead").touch()
    code, rest = finish(process)
    assert says in output
    assert "the robot goes on" in rest, output + rest
    assert code == 0


def test_a_robot_may_want_to_end_with_it(launches: Launches) -> None:
    code, output = finish(launches.start_robot("infer.launch.py", checkpoint="/nowhere", on_exit="shutdown"))
    assert "the robot was stopped" in output
    assert code == 1


def test_a_predictor_is_started_again(launches: Launches) -> None:
    process = launches.start(ROOT / "launch/infer.launch.py", checkpoint="/nowhere", respawn="true", overlay=False)
    output = "".join(read_until(process, "no such checkpoint") for _ in range(2))
    process.terminate()
    _, rest = finish(process)
    assert "on_exit is shutdown" not in output + rest


def test_arguments_reach_the_nodes(launches: Launches, small_checkpoint: Path) -> None:
    """Each value is refused by name, so it has come."""
    for name, value, refused in (
        ("rate_hz", 1000, "rate_hz"), ("device", "cuda:9", "'cuda:9' is not available"), ("threshold", 2, "threshold"),
    ):  # fmt: skip
        code, output = finish(
            launches.start(ROOT / "launch/infer.launch.py", checkpoint=small_checkpoint, overlay=False, **{name: value})
        )
        assert refused in output
        assert code == 1
    code, output = finish(launches.start(ROOT / "launch/infer.launch.py", checkpoint="/nowhere", on_exit="explode"))
    assert 'argument "on_exit" provided value "explode" is not valid' in output.replace("Argument", "argument")
    assert code == 1


def test_the_demo_gives_each_node_its_own_parameter_file(launches: Launches) -> None:
    file = launches.folder / "simulator.yaml"
    file.write_text("/**: {ros__parameters: {width: 320}}")
    code, output = finish(
        launches.start(ROOT / "launch/demo.launch.py", checkpoint="/nowhere", simulator_config=file, overlay=False)
    )
    assert code == 1
    assert "no such checkpoint folder: /nowhere" in output
    (died,) = re.findall(r"process has died .*/predictor .*", output)
    assert str(ROOT / "config/infer.yaml") in died
    assert str(file) not in died


@pytest.mark.parametrize("included", [False, True])
def test_a_recording_ends_with_its_eye_tracker(launches: Launches, included: bool) -> None:
    """It announces its topics, finds no glasses and ends: nothing would be recorded."""
    settings = launches.folder / "eye_tracker.yaml"
    settings.write_text("/**: {ros__parameters: {connect_timeout_s: 5.0}}")
    arguments = {"bag": launches.folder / "bag", "address": "127.0.0.1:9", "eye_tracker_config": settings}
    if included:
        process = launches.start_robot("record.launch.py", **arguments)
        output = read_until(process, r"process has (died|finished).*") + read_until(process, r"\[recorder.*process has")
        (launches.folder / "dead").touch()
    else:
        process, output = launches.start(ROOT / "launch/record.launch.py", **arguments), ""
    code, rest = finish(process)
    output += rest
    assert "eye_tracker: error: no glasses answer at 127.0.0.1:9" in output
    assert "Traceback" not in output
    assert not (launches.folder / "bag").exists()
    if included:
        assert "the robot goes on" in output
        assert code == 0
    else:
        assert re.search(r"eye_tracker-\d failed with exit code 1, and on_exit is shutdown", output)
        assert code == 1
