"""`gaze-vlm replay`: run the predictor node and the bag player in two processes, then score the predictions."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.child_processes import Child, node_command, private_ros_environment, python_command, started
from gaze_vlm_ros.prediction.checkpoint import METADATA_NAME, read_checkpoint_metadata
from gaze_vlm_ros.prediction.now_scores import now_table, score_now
from gaze_vlm_ros.prediction.published import Published, read_published
from gaze_vlm_ros.prediction.score import StartedAction, score
from gaze_vlm_ros.prediction.stream_scores import score_stream, stream_table
from gaze_vlm_ros.prediction.types import STATUS_NAMES
from gaze_vlm_ros.replay.stream import labels_of, published_now, published_stream, spelled
from gaze_vlm_ros.replay.table import table
from gaze_vlm_ros.session.session import NoLabels, Session, load_session, require_labels, session_digest
from gaze_vlm_ros.storage.package_files import shared_file
from gaze_vlm_ros.terminal.status_line import StatusLine

SCORES, PAGE, MESSAGES = "scores.json", "replay.html", "messages"
# Parameters that a replay overrules: simulated time, and nothing that depends on the computer's speed.
FIXED = {
    "autostart": True, "use_sim_time": True, "camera_topic": "camera/image_raw", "camera_wait_s": 0.0,
    "stale_after_s": 60.0, "replay_delay": False, "replay_loop": False, "max_candidates": 1000,
}  # fmt: skip
LOAD_S = 900.0  # longest time to load: a large model on a slow disk


class BadParameters(GazeVlmError):
    """The file has no parameters of the predictor, or cannot be read."""


class PlaceTaken(GazeVlmError):
    """The place for the results exists already, or cannot be written."""


class PredictorEnded(GazeVlmError):
    """The predictor or the bag player ended with an error message."""


class Died(GazeVlmError):
    """The predictor or the bag player ended without an error message, or does not start."""


def run_replay(
    bag: Path, checkpoint: Path | None, backend: str | None, params: Path | None, threshold: float | None,
    out: Path | None, record: bool, roles: Roles = AS_THE_BAG_SAYS,
) -> int:  # fmt: skip
    """Replay one bag, print the table of scores, and write the page and the JSON into the new folder `out`.

    params: parameter file of the predictor, as for the launch file; None = config/infer.yaml. checkpoint, backend,
    threshold: replace those in the file; None = keep them. record: also keep the messages in `out`, as a bag.
    Returns exit code 0. Raises NoLabels, the conditions above, and what load_session and read_published raise.
    """
    if record and out is None:
        raise PlaceTaken("--record needs --out FOLDER, where the messages go")
    session = load_session(bag, roles=roles)
    camera = session.frames.topic
    actions = started_actions(session)
    if threshold is not None and not 0 <= threshold <= 1:
        raise BadParameters(f"--threshold {threshold:g}: expected a probability, 0 to 1")
    given = {"checkpoint": str(checkpoint) if checkpoint else None, "backend": backend, "threshold": threshold}
    parameters = read_parameters(shared_file("config/infer.yaml"))  # the node's own defaults
    parameters |= read_parameters(params) if params else {}
    parameters |= {key: value for key, value in given.items() if value is not None} | FIXED
    if not parameters.get("checkpoint"):
        raise BadParameters("no checkpoint: give --checkpoint FOLDER, or --params YAML with one")
    if out is None:
        with tempfile.TemporaryDirectory(prefix="gaze_vlm_replay_") as folder:
            published, seconds = _play(bag, camera, parameters, Path(folder), "; its log is kept with --out FOLDER")
    else:
        from gaze_vlm_ros.replay.page import (
            write_page,  # fail now if a package is missing, not after the bag was played
        )

        _make_folder(out)
        try:
            published, seconds = _play(bag, camera, parameters, out, f"; see the logs in {out}")
        except BaseException as error:  # Ctrl-C too
            if not isinstance(error, Died):
                shutil.rmtree(out)
            raise
    labels = labels_of(published)
    actions = [replace(action, text=spelled(labels, action.text)) for action in actions]
    moments = [replace(moment, answer=spelled(labels, moment.answer)) for moment in published.moments]
    end_ns = int(session.frames.stamps_ns[-1])
    statuses = [STATUS_NAMES[moment.status] for moment in moments]
    figures = {
        "bag": str(bag),
        "model_id": published.model_id,
        "trained_on": was_trained_on(Path(str(parameters["checkpoint"])), session),
        "score_kind": published.score_kind,
        "parameters": parameters,
        "replay_s": round(seconds, 1),
        "status_counts": {name: statuses.count(name) for name in STATUS_NAMES if name in statuses},
        "no_answer": published.no_answer,
        "unknown_actions": sorted({a.text for a in actions if published.labels and a.text not in published.labels}),
        **score(moments, actions, published.horizon_s, end_ns),
    }
    stream, now = published_stream(published, session), published_now(published, session)
    print("\n" + table(figures))
    if stream is not None:
        figures["stream"] = score_stream(stream)
        print("\n" + stream_table({"as published": figures["stream"]}))
    if now is not None:
        figures["now"] = score_now(now)
        print("\n" + now_table({"as published": figures["now"]}))
    if out is not None:
        try:
            (out / SCORES).write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            write_page(out / PAGE, figures, moments, actions)
        except OSError as error:
            raise PlaceTaken(f"cannot write to {out}: {error.strerror}; make room, or give another place") from None
        if not record:
            shutil.rmtree(out / MESSAGES)
        print(f"\n{out / PAGE}, {out / SCORES}" + (f", {out / MESSAGES}" if record else ""))
    return 0


def started_actions(session: Session) -> list[StartedAction]:
    """Actions that began after the first frame of a session, in order. Raises NoLabels where there are none."""
    labels = require_labels(session)
    first_ns = int(session.frames.stamps_ns[0])
    actions = [
        StartedAction(int(start_ns), text)
        for start_ns, text in zip(labels.starts_ns, labels.texts, strict=True)
        if text and start_ns > first_ns
    ]
    if not actions:
        raise NoLabels(f"{session.path}: none of its {len(labels)} labels begins an action after its first frame")
    return actions


def was_trained_on(checkpoint: Path, session: Session) -> bool:
    """Whether the checkpoint was trained on this session or chosen by it; False where that is unknown."""
    if not (checkpoint / METADATA_NAME).is_file():
        return False
    return session_digest(session) in read_checkpoint_metadata(checkpoint).trained_on


def read_parameters(path: Path) -> dict[str, Any]:
    """Read the predictor's parameters from a ROS parameter file. Raises BadParameters."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise BadParameters(f"no parameters in {path}: {why}; give a file like config/infer.yaml") from None
    found: dict[str, Any] = {}
    sections = content if isinstance(content, dict) else {}
    for name in (
        "/**",
        "predictor",
        "/predictor",
        "/**/predictor",
    ):  # a later section overrides an earlier one, as in ROS
        section = sections.get(name)
        if isinstance(section, dict) and isinstance(section.get("ros__parameters"), dict):
            found |= section["ros__parameters"]
    if not found:
        raise BadParameters(
            f"{path} has no parameters of the predictor, expected them below '/**: ros__parameters:' or "
            "'predictor: ros__parameters:', as in config/infer.yaml"
        )
    return found


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        raise PlaceTaken(f"{out} exists already and is not overwritten; give another name") from None
    except OSError as error:
        raise PlaceTaken(f"cannot write to {out}: {error.strerror}; give another place") from None


def _play(bag: Path, camera_topic: str, parameters: dict[str, Any], folder: Path, hint: str) -> tuple[Published, float]:
    """Run the predictor and the bag player until the end of the bag. Return the predictions, and the duration in s.

    hint: where to find more if one of them dies.
    """
    environment = private_ros_environment(threads=os.cpu_count() or 1)  # only the model needs much computing time
    command = node_command("predictor", parameters, folder / "predictor.yaml")
    node = Child("predictor", command, folder / "predictor.log", environment)
    status = StatusLine(f"{bag} through the predictor ({parameters.get('backend', 'model')})")
    with started(node):
        deadline = time.monotonic() + LOAD_S
        while "predictor is ready" not in node.log.read_text(errors="replace"):
            _must_run(node, hint)
            if time.monotonic() > deadline:
                raise Died(f"the predictor was not ready within {LOAD_S:g} s{hint}")
            status.show("loading")
            time.sleep(0.05)
        began = time.monotonic()
        rate_hz = float(parameters["rate_hz"])
        command = python_command("gaze_vlm_ros.nodes.bag_player", bag, camera_topic, folder / MESSAGES, rate_hz)
        player = Child("replay", command, folder / "player.log", environment)
        try:
            with started(player):
                while player.running():
                    _must_run(node, hint)
                    status.show(player.last_line())
                    time.sleep(0.05)
                _must_run(node, hint)
                if player.wait(0) != 0:
                    raise end_of(player, hint)
        finally:
            node.stop()  # a node that is killed leaves its locks in shared memory
    seconds = time.monotonic() - began
    status.done(player.last_line())
    return read_published(folder / MESSAGES), seconds


def _must_run(child: Child, hint: str) -> None:
    if not child.running():
        raise end_of(child, hint)


def end_of(child: Child, hint: str) -> GazeVlmError:
    """Error for a process that ended, with its own error message where it printed one."""
    said = child.last_line()
    own = f"{child.name}: error: "
    if said.startswith(own):
        return PredictorEnded(said.removeprefix(own))
    return Died(f"the {child.name} died (exit code {child.wait(0)}), its last line: {said}{hint}")
