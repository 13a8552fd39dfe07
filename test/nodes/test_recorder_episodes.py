"""Episodes of the recorder by service and by key; each is a bag of its own."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml
from ros_processes import finish, isolated_environment, start, start_node, stop

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.session.session import load_session
from training.data.recordings import find_bags

SOURCE = str(Path(__file__).with_name("camera_and_gaze.py"))
CALLER = str(Path(__file__).with_name("episode_caller.py"))


def wait_for(condition, timeout_s: float = 200.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_episodes_by_service(tmp_path: Path) -> None:
    root = tmp_path / "day"
    environment = isolated_environment()
    source = start([sys.executable, SOURCE, "60", "--now", "--latched"], environment)
    parameters = {"bag": str(root), "episodes": True, "task": "sort", "extra_topics": ["robot_description"]}
    recorder = start_node("recorder", parameters, environment, tmp_path)
    calls = [
        ["stop", True], ["label", "too early"],
        ["sleep", 1.0], ["start", "", ""], ["start", "", ""], ["sleep", 1.0], ["label", "take the red mug"],
        ["sleep", 0.5], ["stop", True],
        ["start", "pouring", "pour"], ["sleep", 0.5], ["stop", False],
        ["start", "pouring", ""], ["start", "../out", ""], ["start", "", ""], ["sleep", 0.5],
    ]  # fmt: skip
    caller = start([sys.executable, CALLER, json.dumps(calls)], environment)
    code, said = finish(caller)
    assert code == 0, said
    answers = json.loads(said.splitlines()[-1])
    recorder.send_signal(2)
    code, output = finish(recorder)
    stop(source)
    assert code == 0, output
    assert [success for success, _, _ in answers] == [
        False, False, True, False, True, True, True, True, False, False, True,
    ]  # fmt: skip
    assert answers[0][1] == "no episode is being recorded"
    assert answers[3][1] == "episode episode_0000 is being recorded; stop it first"
    assert "pouring_discarded already" in answers[8][1]
    assert "is not a plain name" in answers[9][1]
    assert [episode for _, _, episode in answers[10:]] == ["episode_0001"]

    assert sorted(path.name for path in root.iterdir()) == ["episode_0000", "episode_0001", "pouring_discarded"]
    first = load_session(root / "episode_0000")
    assert first.gaze is not None
    assert first.labels is not None
    numbers = first.gaze.xy[:, 0].astype(int)
    np.testing.assert_array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) > 20
    assert "take the red mug" in first.labels.texts
    assert (first.name, first.task) == ("episode_0000", "sort")
    assert load_session(root / "pouring_discarded").task == "pour"
    for name in ("episode_0000", "episode_0001", "pouring_discarded"):
        with open_bag(root / name) as bag:
            assert bag.totals["/gaze"].lost == 0
            # Sent once, before the first episode.
            (description,) = (message.data for message in bag.read("/robot_description").messages())
            assert description == "<robot/>"
    # Training passes over what was discarded.
    assert [path.name for path in find_bags([root])] == ["episode_0000", "episode_0001"]


def test_episodes_and_labels_by_key(tmp_path: Path) -> None:
    root = tmp_path / "day"
    environment = isolated_environment()
    source = start([sys.executable, SOURCE, "60", "--now"], environment)
    parameters = {"bag": str(root), "episodes": True, "labels": ["pour", "stir"]}
    (tmp_path / "parameters.yaml").write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
    ours, theirs = pty.openpty()
    output = tmp_path / "output.txt"
    with output.open("w") as stream:
        recorder = subprocess.Popen(
            [sys.executable, "-m", "gaze_vlm_ros.nodes.recorder", "--ros-args", "--params-file",
             str(tmp_path / "parameters.yaml")],
            stdin=theirs, stdout=stream, stderr=subprocess.STDOUT, env=environment,
        )  # fmt: skip
    wait_for(lambda: "keys: s start, k keep, d discard an episode; 1 'pour', 2 'stir'" in output.read_text())
    for key, said in [
        ("s", "episode episode_0000 began"), ("2", "label: stir"), ("0", "label: (none from here on)"),
        ("9", "q quit"), ("k", "episode episode_0000 kept"), ("s", "episode episode_0001 began"),
        ("d", "episode episode_0001 discarded"),
    ]:  # fmt: skip
        os.write(ours, key.encode())
        wait_for(lambda said=said: said in output.read_text())
    os.write(ours, b"q")
    assert recorder.wait(60) == 0, output.read_text()
    stop(source)
    os.close(ours)
    os.close(theirs)
    labels = load_session(root / "episode_0000").labels
    assert labels is not None
    assert [text for text in labels.texts if not text.startswith("action")] == ["stir", ""]
    assert sorted(path.name for path in root.iterdir()) == ["episode_0000", "episode_0001_discarded"]
