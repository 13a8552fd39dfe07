"""Rules of the house: which room may import which, and what no room may import."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import import_graph  # noqa: E402

NODE_LINES = 300
ROS_PACKAGES = {
    "rclpy", "rcl_interfaces", "builtin_interfaces", "std_msgs", "std_srvs", "sensor_msgs", "geometry_msgs",
    "diagnostic_msgs", "lifecycle_msgs", "rosgraph_msgs", "unique_identifier_msgs", "vision_msgs", "gaze_vlm_msgs",
}  # fmt: skip


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_no_room_imports_one_above_it() -> None:
    assert import_graph.against_the_flow(import_graph.room_arrows(ROOT)) == []


def test_every_room_has_a_place() -> None:
    assert set(import_graph.room_arrows(ROOT)) <= set(import_graph.ROOMS)


def test_no_modules_and_no_rooms_import_each_other() -> None:
    assert import_graph.circles(import_graph.module_arrows(ROOT)) == []
    assert import_graph.circles(import_graph.room_arrows(ROOT)) == []


def test_a_circle_and_an_arrow_against_the_flow_are_seen(tmp_path: Path) -> None:
    for module, text in {
        "gaze_vlm_ros/__init__.py": "",
        "gaze_vlm_ros/errors.py": "def f():\n    from gaze_vlm_ros.bags.reader import x\n",
        "gaze_vlm_ros/bags/__init__.py": "from gaze_vlm_ros.bags.reader import x\n",
        "gaze_vlm_ros/bags/reader.py": "from gaze_vlm_ros import errors\nx = errors\n",
    }.items():
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / module).write_text(text)
    rooms = import_graph.room_arrows(tmp_path)
    assert rooms == {"gaze_vlm_ros.errors": {"gaze_vlm_ros.bags"}, "gaze_vlm_ros.bags": {"gaze_vlm_ros.errors"}}
    assert import_graph.circles(rooms) == [["gaze_vlm_ros.bags", "gaze_vlm_ros.errors"]]
    assert import_graph.circles(import_graph.module_arrows(tmp_path)) == [
        ["gaze_vlm_ros.bags.reader", "gaze_vlm_ros.errors"]
    ]
    assert import_graph.against_the_flow(rooms) == [("gaze_vlm_ros.errors", "gaze_vlm_ros.bags")]


def test_at_most_five_modules_lie_at_the_root() -> None:
    assert len(list((ROOT / "gaze_vlm_ros").glob("*.py"))) <= 5


def test_ros_is_imported_by_nodes_only() -> None:
    rooms = [path for package in ("gaze_vlm_ros", "training") for path in (ROOT / package).rglob("*.py")]
    others = [path for path in rooms if "nodes" not in path.relative_to(ROOT).parts]
    assert {str(path.relative_to(ROOT)): imported(path) & ROS_PACKAGES for path in others} == {
        str(path.relative_to(ROOT)): set() for path in others
    }


@pytest.mark.parametrize("path", sorted((ROOT / "gaze_vlm_ros" / "nodes").glob("*.py")), ids=lambda path: path.stem)
def test_a_node_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < NODE_LINES


def test_no_node_needs_torch_before_a_model_loads() -> None:
    names = [path.stem for path in (ROOT / "gaze_vlm_ros" / "nodes").glob("[a-z]*.py")]
    code = "import sys\n" + "".join(f"import gaze_vlm_ros.nodes.{name}\n" for name in names)
    code += "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("banned", ["common", "utils", "helpers", "misc"])
def test_no_room_is_a_drawer_for_everything(banned: str) -> None:
    assert not [path for package in ("gaze_vlm_ros", "training") for path in (ROOT / package).rglob(f"{banned}*")]


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by it, and refuses the second in a process: alone each passes, all together none is run."""
    names = Counter(path.name for path in (ROOT / "test").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
