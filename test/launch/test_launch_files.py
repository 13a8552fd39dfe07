"""The launch files against what they start. Under real launch_ros where it is installed; else their text is read."""

import ast
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gaze_vlm_ros.nodes.launching import is_launched_itself, parameter_file

ROOT = Path(__file__).parents[2]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
CONFIGS = ("record", "infer", "overlay", "eye_tracker", "simulator", "gaze_monitor")


def calls(path: Path, name: str) -> list[dict[str, ast.expr]]:
    """Keyword arguments of all calls of `name` in a launch file; the first positional one as ''."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            keywords = {keyword.arg or "": keyword.value for keyword in node.keywords}
            found.append(keywords | ({"": node.args[0]} if node.args else {}))
    return found


def text(expression: ast.expr) -> str:
    assert isinstance(expression, ast.Constant)
    return str(expression.value)


def parameters(config: str) -> dict[str, object]:
    """Parameters in one of config/*.yaml."""
    (section,) = yaml.safe_load((ROOT / "config" / f"{config}.yaml").read_text()).values()
    found: dict[str, object] = section["ros__parameters"]
    return found


def test_there_is_one_for_each_use() -> None:
    assert [path.name for path in LAUNCH_FILES] == [
        "demo.launch.py",
        "infer.launch.py",
        "monitor.launch.py",
        "record.launch.py",
    ]


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_every_executable_is_installed_and_every_file_there(path: Path) -> None:
    installed = set(re.findall(r'f"([\w-]+) = \{NAME\}', (ROOT / "setup.py").read_text()))
    nodes = calls(path, "Node")
    assert nodes
    for node in nodes:
        assert text(node["package"]) == "gaze_vlm_ros"
        assert text(node["executable"]) in installed
        assert (ROOT / "gaze_vlm_ros" / "nodes" / f"{text(node['executable'])}.py").exists()
    for file in calls(path, "shared_file"):
        assert (ROOT / text(file[""])).is_file()


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_every_argument_is_declared_and_every_parameter_known(path: Path) -> None:
    declared = {text(call[""]) for call in calls(path, "DeclareLaunchArgument")}
    used = {text(call[""]) for call in calls(path, "LaunchConfiguration") if isinstance(call[""], ast.Constant)}
    given = {name for call in calls(path, "given_parameters") for name in call if name}
    on_exit = {"on_exit"} if calls(path, "on_exit_argument") else set()
    assert used | given <= declared | on_exit
    assert given <= {name for config in CONFIGS for name in parameters(config)}
    for node in calls(path, "Node"):
        config = {"recorder": "record", "predictor": "infer"}.get(text(node["executable"]), text(node["executable"]))
        known = {*parameters(config), "use_sim_time"}
        for dictionary in ast.walk(node["parameters"]):
            if isinstance(dictionary, ast.Dict):
                assert {text(key) for key in dictionary.keys if key is not None} <= known


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_ros_takes_it(path: Path) -> None:
    pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS distribution, and there is none here")
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
    declared = {text(call[""]) for call in calls(path, "DeclareLaunchArgument")}
    assert declared <= {argument.name for argument in description.get_launch_arguments()}


@pytest.mark.parametrize("name", CONFIGS)
def test_config_files_hold_what_their_nodes_declare(name: str) -> None:
    """Each parameter in the file is declared by the node, and the other way round: a renamed one would be ignored."""
    node = {"record": "recorder", "infer": "predictor"}.get(name, name)
    nodes = ROOT / "gaze_vlm_ros" / "nodes"
    declares = nodes / f"{node}_parameters.py"
    source = (declares if declares.exists() else nodes / f"{node}.py").read_text()
    if node == "simulator":  # declares the fields of BenchSettings in a loop
        source += (ROOT / "gaze_vlm_ros" / "sim" / "bench_settings.py").read_text()
    for parameter in parameters(name):
        assert re.search(rf'"{parameter}"|^    {parameter}: ', source, re.MULTILINE), parameter


def test_config_counts_only_where_the_file_is_launched_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Launch hands the arguments of an including file on to the included one, whether it wants them or not."""
    file = str(ROOT / "launch" / "infer.launch.py")
    context: Any = SimpleNamespace(launch_configurations={"config": "mine.yaml", "predictor_config": "infer.yaml"})
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "gaze_vlm_ros", "infer.launch.py", "config:=mine.yaml"])
    assert parameter_file(context, file, "predictor_config") == "mine.yaml"
    assert not capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "robot", "robot.launch.py", "config:=mine.yaml"])
    assert parameter_file(context, file, "predictor_config") == "infer.yaml"
    assert capsys.readouterr().out == (
        "infer.launch.py: config:=mine.yaml does not count where this file is included; use predictor_config\n"
    )
    context.launch_configurations["config"] = ""
    assert parameter_file(context, file, "predictor_config") == "infer.yaml"
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "page"), list(zip(LAUNCH_FILES, ("simulator", "predictor", "gaze_monitor", "recorder"), strict=True))
)
def test_pages_list_every_argument_with_its_default(path: Path, page: str) -> None:
    declared = {}
    for call in calls(path, "DeclareLaunchArgument"):
        default = call.get("default_value")
        if default is None:
            declared[text(call[""])] = "required"
        elif isinstance(default, ast.Constant):
            declared[text(call[""])] = f"`{default.value}`" if default.value else "empty"
        else:  # str(shared_file("config/infer.yaml"))
            (file,) = re.findall(r'"(.*)"|\'(.*)\'', ast.unparse(default))
            declared[text(call[""])] = f"`{''.join(file)}`"
    if calls(path, "on_exit_argument"):
        declared["on_exit"] = "`shutdown`; `nothing` where another launch file includes this one"
    _, _, table = (ROOT / "docs" / f"{page}.md").read_text().partition("| argument | default | |\n|---|---|---|\n")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", table.partition("\n\n")[0], re.MULTILINE)
    assert dict(rows) == declared


def test_a_launch_file_knows_whether_another_one_includes_it() -> None:
    file = ROOT / "launch" / "infer.launch.py"
    called = ["ros2", "launch", "--debug"]
    assert is_launched_itself(str(file), [*called, "gaze_vlm_ros", "infer.launch.py", "checkpoint:=runs/bench"])
    assert is_launched_itself(str(file), [*called, str(file)])
    assert not is_launched_itself(str(file), [*called, "robot", "infer.launch.py"])
    assert not is_launched_itself(str(file), [*called, "gaze_vlm_ros", "demo.launch.py"])
    assert not is_launched_itself(str(file), ["robot.py"])
