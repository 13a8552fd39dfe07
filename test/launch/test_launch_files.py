"""The launch files against what they start. Under real launch_ros where it is installed; else their text is read."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))


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


def test_there_is_one_for_each_use() -> None:
    assert [path.name for path in LAUNCH_FILES] == ["demo.launch.py", "infer.launch.py", "record.launch.py"]


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
    # record.launch.py passes names through a function and a loop.
    used |= {text(call[""]) for call in calls(path, "_text") if isinstance(call[""], ast.Constant)}
    assert used <= declared
    for node in calls(path, "Node"):
        config = {"recorder": "record", "predictor": "infer"}.get(text(node["executable"]), text(node["executable"]))
        values = yaml.safe_load((ROOT / "config" / f"{config}.yaml").read_text())
        (section,) = values.values()
        known = {*section["ros__parameters"], "use_sim_time"}
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


@pytest.mark.parametrize("name", ["record", "infer", "overlay", "eye_tracker", "simulator"])
def test_config_files_hold_what_their_nodes_declare(name: str) -> None:
    """Each parameter in the file is declared by the node, and the other way round: a renamed one would be ignored."""
    node = {"record": "recorder", "infer": "predictor"}.get(name, name)
    nodes = ROOT / "gaze_vlm_ros" / "nodes"
    declares = nodes / f"{node}_parameters.py"
    source = (declares if declares.exists() else nodes / f"{node}.py").read_text()
    (section,) = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()).values()
    if node == "simulator":  # declares the fields of BenchSettings in a loop
        source += (ROOT / "gaze_vlm_ros" / "sim" / "bench_settings.py").read_text()
    for parameter in section["ros__parameters"]:
        assert re.search(rf'"{parameter}"|^    {parameter}: ', source, re.MULTILINE), parameter
