"""What users of an earlier release rely on goes on working: names, defaults, checkpoints, bags and label files.

test/released/ was written by version 0.1.0 before the package was divided into rooms: interface.json from its parsers,
nodes and messages, the bag and the checkpoint by its own writer and fit.py, scores.json by its evaluate.py.
"""

import argparse
import ast
import dataclasses
import importlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
RELEASED = ROOT / "test" / "released"
INTERFACE = json.loads((RELEASED / "interface.json").read_text())
CONFIG = {"recorder": "record", "predictor": "infer"}  # files in config/ that are not named after their node
SCRIPTS = ("fit", "evaluate", "ablate", "report", "export_windows")


def options(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Defaults of a parser's options and positional arguments."""
    found = {}
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction | argparse._VersionAction | argparse._SubParsersAction):
            name = " ".join(action.option_strings) or action.dest
            plain = isinstance(action.default, str | int | float | bool | None)
            found[name] = action.default if plain else str(action.default)
    return found


def commands(parser: argparse.ArgumentParser, name: str) -> dict[str, dict[str, Any]]:
    """Options of each command below a parser."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        return {name: options(parser)}
    found = {}
    for group in groups:
        for word, below in group.choices.items():
            found |= commands(below, f"{name} {word}")
    return found


def all_commands() -> dict[str, dict[str, Any]]:
    from gaze_vlm_ros import cli

    found = commands(cli._parser(), "gaze-vlm")
    for script in SCRIPTS:
        found |= commands(importlib.import_module(f"training.{script}")._parser(), f"training/{script}.py")
    return found


def test_every_command_has_the_options_and_defaults_that_it_had() -> None:
    now = all_commands()
    for command, released in INTERFACE["commands"].items():
        for option, default in released.items():
            assert option in now[command], f"{command} has lost {option}"
            if default != "per machine":
                assert now[command][option] == default or not (now[command][option] or default), f"{command} {option}"


def test_every_program_is_installed_under_its_name() -> None:
    scripts = re.findall(r'f"([\w-]+) = \{NAME\}', (ROOT / "setup.py").read_text())
    assert set(INTERFACE["console_scripts"]) <= set(scripts)


# Defaults that are others now, each for a reason. Since a recording ends where a topic stays silent for wait_s, it must
# be longer than the eye tracker needs to find the glasses and to connect again.
CHANGED_DEFAULTS: dict[str, dict[str, float]] = {"recorder": {"wait_s": 40.0}}


@pytest.mark.parametrize("node", INTERFACE["node_parameters"])
def test_every_node_has_the_parameters_and_defaults_that_it_had(node: str) -> None:
    """config/ is compared with the code in test/nodes/test_parameters.py."""
    (section,) = yaml.safe_load((ROOT / "config" / f"{CONFIG.get(node, node)}.yaml").read_text()).values()
    now = section["ros__parameters"]
    for name, default in (INTERFACE["node_parameters"][node] | CHANGED_DEFAULTS.get(node, {})).items():
        if isinstance(default, float):  # 0.0083 has become 1/120
            default = pytest.approx(default, rel=0.01)
        assert now[name] == default, name


def test_every_topic_and_service_has_its_name() -> None:
    created = set()
    for path in (ROOT / "gaze_vlm_ros" / "nodes").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                created |= {part.value for part in node.args if isinstance(part, ast.Constant)}
    # Video publishers take the raw topic and add the compressed one.
    created |= {f"{name}/compressed" for name in created if str(name).endswith("/image_raw")}
    assert set(INTERFACE["topics_and_services"]) <= created


def test_every_launch_argument_has_its_name() -> None:
    for name, released in INTERFACE["launch_arguments"].items():
        tree = ast.parse((ROOT / "launch" / name).read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        first = [call.args[0] for call in calls if call.func.id == "DeclareLaunchArgument"]  # type: ignore[attr-defined]
        assert set(released) <= {part.value for part in first if isinstance(part, ast.Constant)}, name


def test_every_message_has_its_fields() -> None:
    for name, released in INTERFACE["interfaces"].items():
        lines = (ROOT / "gaze_vlm_msgs" / name).read_text().splitlines()
        now = [re.sub(r"\s+", " ", line.split("#")[0]).strip() for line in lines]
        assert set(released) <= set(now), name


def test_every_setting_of_a_fit_and_field_of_a_checkpoint_has_its_name_and_default() -> None:
    from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata
    from training.settings import Settings

    settings = {
        field.name: json.loads(json.dumps(getattr(Settings(), field.name))) for field in dataclasses.fields(Settings)
    }
    assert INTERFACE["fit_settings"].items() <= settings.items()
    assert set(INTERFACE["checkpoint_fields"]) <= {field.name for field in dataclasses.fields(CheckpointMetadata)}


def test_a_released_bag_has_the_same_content() -> None:
    from gaze_vlm_ros.inspection.info import summarize
    from gaze_vlm_ros.session.session import load_session, require_gaze, require_labels, session_digest

    session = load_session(RELEASED / "bag")
    assert (len(session.frames), len(require_gaze(session)), len(require_labels(session))) == (120, 600, 4)
    assert session.frames.rgb(119).shape == (64, 96, 3)
    assert (session.name, session.person, session.task, session.scene) == ("s2", "p0", "discs", "bench")
    assert session_digest(session) == json.loads((RELEASED / "scores.json").read_text())["digest"]
    summary = summarize(RELEASED / "bag")
    assert (summary.lost, summary.duration_s) == (0, 12.0)


def test_released_labels_beside_a_bag_are_read(tmp_path: Path) -> None:
    from gaze_vlm_ros.session.session import load_session, require_labels

    bag = shutil.copytree(RELEASED / "bag", tmp_path / "bag")
    shutil.copy(RELEASED / "labels.json", bag)
    labels = require_labels(load_session(bag))
    assert [text for text in labels.texts if text] == ["pour water", "stir"]
    assert ((labels.starts_ns - 1_790_002_000_000_000_000) / 1e9).tolist() == [1.0, 2.5, 4.0, 6.0]


def test_a_released_checkpoint_gives_the_scores_that_it_gave(tmp_path: Path) -> None:
    from training.evaluate import main

    released = json.loads((RELEASED / "scores.json").read_text())
    assert main([str(RELEASED / "checkpoint"), str(RELEASED / "bag"), "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    for now, then in zip(scores["windows"], released["windows"], strict=True):
        assert {key: now[key] for key in then if key != "probability"} == {
            key: value for key, value in then.items() if key != "probability"
        }
        assert now["probability"] == pytest.approx(then["probability"], abs=2e-4)
    bench = scores["groups"]["bench"]
    assert bench["negative_log_likelihood"] == pytest.approx(released["negative_log_likelihood"], abs=1e-5)
    assert bench["attention"] == pytest.approx(released["attention"], abs=1e-4)


def test_a_released_checkpoint_answers_the_predictor() -> None:
    from gaze_vlm_ros.prediction.backends.factory import open_backend
    from gaze_vlm_ros.prediction.types import Observation
    from gaze_vlm_ros.session.session import load_session

    frames = load_session(RELEASED / "bag").frames
    backend = open_backend(RELEASED / "checkpoint")
    shown = [14, 19]
    answer = backend.predict(
        Observation([frames.rgb(i) for i in shown], tuple(int(frames.stamps_ns[i]) for i in shown))
    )
    assert answer.texts == ("take the blue disc", "take the red disc")
    assert answer.probabilities.sum() + answer.other_probability == pytest.approx(1.0)


def test_gaze_is_written_beside_that_of_a_released_bag_and_without_the_later_fields(tmp_path: Path) -> None:
    """Code of that release names the fields that there were; a bag of that release has only these."""
    from gaze_vlm_ros import BagWriter, message_class
    from gaze_vlm_ros.bags.reader import open_bag

    kind = "gaze_vlm_msgs/msg/GazeStamped"
    with open_bag(RELEASED / "bag") as bag:
        old = bag.read("/gaze").message(0)
    assert not hasattr(old, "vergence_distance")
    no_time = message_class("builtin_interfaces/msg/Time")(0, 0)
    writer = BagWriter(tmp_path / "bag", {"session": "s"})
    writer.add_topic("/gaze", kind)
    writer.write_message("/gaze", message_class(kind)(old.header, 1.5, 2.5, 96, 64, 0.9, 2, 1, no_time), 10**18)
    writer.close()
    with open_bag(tmp_path / "bag") as bag:
        new = bag.read("/gaze").message(0)
    assert (new.x, new.eye_state) == (1.5, 1)
    assert new.pupil_diameter_left != new.pupil_diameter_left  # NaN
    assert new.vergence_distance != new.vergence_distance
