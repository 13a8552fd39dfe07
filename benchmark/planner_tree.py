"""Measure how long examples/handover_tree.py goes on after the predictor, its clock or its camera fails, over DDS.

python benchmark/planner_tree.py [--case NAME ...] [--rate 5] [--valid 2] [--patience 60] [--json FILE]

Predictor (recorded answers, camera of 10 Hz) and tree are processes of their own. Each case waits until the robot
helps, lets something fail, and prints the time from then until the robot stops. Needs ROS and py_trees (`make setup`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.nodes.child_processes import private_ros_environment
from gaze_vlm_ros.nodes.dds_transport import FIRST_PORT, PORTS_PER_DOMAIN, SHARED_MEMORY
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.video.images import encode_jpeg

ROOT = Path(__file__).resolve().parents[1]
ACTION = "take the red mug"
CAMERA_S, CLOCK_S = 0.1, 0.02
SLOW_AT_S = 3.0  # after the first frame: the answer from then on takes longer than any run
AHEAD_S = 60.0
START_S = 120.0  # a busy machine


class Scene:
    """A camera in this process, a predictor and a tree that helps with its answer."""

    def __init__(
        self, rate_hz: float, valid_s: float, folder: Path, slow: bool = False, simulated: bool = False
    ) -> None:
        """slow: the second answer never comes. simulated: camera and predictor go by a clock that is 60 s ahead."""
        environment = private_ros_environment()
        os.environ.update(environment)
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import CompressedImage

        from gaze_vlm_msgs.msg import ActionPrediction

        self._domain = int(environment["ROS_DOMAIN_ID"])
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self._domain)
        self.node = rclpy.create_node("scene", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self.answered_s = 0.0  # stamp of the last frame that was answered, by the system clock
        self.node.create_subscription(ActionPrediction, "next_action", self._note, 1)
        self._camera = self.node.create_publisher(CompressedImage, "camera/image_raw/compressed", 5)
        self._clock = self.node.create_publisher(Clock, "/clock", 1) if simulated else None
        self.shows, self.shift_ns, self.first_frame_s = True, round(AHEAD_S * 1e9) * simulated, 0.0

        answers = folder / "answers.jsonl"
        lines: list[dict[str, Any]] = [{"t_s": 0.0, "candidates": [{"text": ACTION, "probability": 0.9}]}]
        if slow:
            lines += [lines[0] | {"t_s": SLOW_AT_S, "inference_s": 3600.0}]
        lines += [lines[0] | {"t_s": 3600.0}]
        answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
        parameters = {
            "backend": "replay", "checkpoint": str(answers), "rate_hz": rate_hz, "valid_s": valid_s,
            "use_sim_time": simulated,
        }  # fmt: skip
        file = folder / "predictor.yaml"
        file.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
        predictor = [sys.executable, "-m", "gaze_vlm_ros.nodes.predictor", "--ros-args", "--params-file", str(file)]
        tree = [sys.executable, str(ROOT / "examples" / "handover_tree.py"), "--ros-args"]
        tree += ["-p", f"helps_with:=[{ACTION}]"]
        environment["PYTHONPATH"] = str(ROOT)
        log = (folder / "predictor.log").open("w")
        self.predictor = subprocess.Popen(predictor, env=environment, stdout=log, stderr=subprocess.STDOUT)
        self._tree = subprocess.Popen(tree, env=environment, stdout=subprocess.PIPE, text=True)
        self.said: list[tuple[float, str]] = []  # when the robot began and stopped
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._listen, self._show)]
        for thread in self._threads:
            thread.start()

    def _note(self, prediction: Any) -> None:
        if prediction.status == prediction.STATUS_OK:
            self.answered_s = nanoseconds(prediction.header.stamp) / 1e9

    def _listen(self) -> None:
        for line in self._tree.stdout or ():
            if line.startswith("robot:"):
                self.said.append((time.monotonic(), line.split()[1]))

    def _show(self) -> None:
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import CompressedImage

        picture = CompressedImage(format="jpeg", data=encode_jpeg(np.zeros((48, 64, 3), np.uint8)))
        due_s = 0.0
        while not self._ended.wait(CLOCK_S):
            now = time_of(time.time_ns() + self.shift_ns)
            if self._clock is not None:
                self._clock.publish(Clock(clock=now))
            if self.shows and time.monotonic() >= due_s:
                due_s = time.monotonic() + CAMERA_S
                picture.header.stamp = now
                self._camera.publish(picture)
                if not self.first_frame_s and self._camera.get_subscription_count():
                    self.first_frame_s = time.monotonic()

    def helps(self) -> bool:
        """Whether the robot helps now."""
        return bool(self.said) and self.said[-1][1] == "begin"

    def wait_for(self, condition: Callable[[], bool], patience_s: float, what: str) -> None:
        """Wait for something. Exits where it does not come."""
        deadline_s = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline_s:
                sys.exit(f"within {patience_s:g} s {what}; the robot: {self.said}")
            self._executor.spin_once(timeout_sec=0.005)

    def deactivate(self) -> None:
        """Ask the predictor to stop."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        client = self.node.create_client(ChangeState, "predictor/change_state")
        client.wait_for_service()
        request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
        self._executor.spin_until_future_complete(client.call_async(request))

    def close(self) -> None:
        """End all processes, and remove what a killed one leaves in shared memory."""
        self._ended.set()
        self.predictor.send_signal(signal.SIGCONT)
        for process in (self._tree, self.predictor):
            process.send_signal(signal.SIGINT)
            process.wait()
        for thread in self._threads:
            thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self.context.shutdown()
        first = FIRST_PORT + PORTS_PER_DOMAIN * self._domain
        for path in SHARED_MEMORY.glob("*fastdds_port*"):
            port = re.search(r"port(\d+)", path.name)
            if port and first <= int(port[1]) < first + PORTS_PER_DOMAIN:
                path.unlink(missing_ok=True)


def stop_showing(scene: Scene) -> None:
    """Stop the camera."""
    scene.shows = False


def set_ahead(scene: Scene) -> None:
    """Set the camera's clock ahead."""
    scene.shift_ns = round(AHEAD_S * 1e9)


CASES: dict[str, tuple[str, Callable[[Scene], None] | None]] = {
    "deactivated": ("predictor deactivated by its lifecycle manager", Scene.deactivate),
    "killed": ("predictor killed (SIGKILL)", lambda scene: scene.predictor.kill()),
    "hung": ("predictor held (SIGSTOP)", lambda scene: scene.predictor.send_signal(signal.SIGSTOP)),
    "slow": ("model slow: no answer to newer frames", None),
    "camera": ("camera stopped", stop_showing),
    "ahead": ("camera's clock set 60 s ahead", set_ahead),
    "all_ahead": ("clock of camera and predictor 60 s ahead of the planner's", None),
}


def run(case: str, rate_hz: float, valid_s: float, patience_s: float) -> dict[str, Any]:
    """Run one case; held_s is the time from the failure until the robot stopped, 0 where it never began.

    A slow model fails at the stamp of the last frame that it answered.
    """
    what, fail = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(rate_hz, valid_s, Path(folder), case == "slow", case == "all_ahead")
        try:
            if case == "all_ahead":
                scene.wait_for(lambda: bool(scene.first_frame_s), START_S, "the predictor did not start")
                time.sleep(min(patience_s, 5.0))
                return {"case": case, "what": what, "held_s": 0.0, "began": len(scene.said)}
            scene.wait_for(scene.helps, START_S, "the robot did not begin to help")
            if fail is not None:
                time.sleep(1.0)
                scene.wait_for(scene.helps, START_S, "the robot did not help again")
                failed_s = time.monotonic()
                fail(scene)
            else:
                slow_s = scene.first_frame_s + SLOW_AT_S + 1.0
                scene.wait_for(lambda: time.monotonic() > slow_s, START_S, "the model did not become slow")
                failed_s = scene.answered_s + time.monotonic() - time.time()
            scene.wait_for(lambda: not scene.helps(), patience_s, f"the robot did not stop after: {what}")
            stopped_s = scene.said[-1][0]
            if case != "slow":
                time.sleep(1.0)
            began = sum(said == "begin" for at_s, said in scene.said if at_s > stopped_s)
            return {"case": case, "what": what, "held_s": stopped_s - failed_s, "began": began}
        finally:
            scene.close()


def main() -> None:
    """Run the cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES), help="what fails (default: all)")
    parser.add_argument("--rate", type=float, default=5.0, help="rate_hz of the predictor (default: 5)")
    parser.add_argument("--valid", type=float, default=2.0, help="valid_s of the predictor (default: 2)")
    parser.add_argument("--patience", type=float, default=60.0, help="longest time that the robot may go on, s")
    parser.add_argument("--rounds", type=int, default=1, help="how often each case is run (default: 1)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    figures = []
    print(f"rate_hz {options.rate:g}, valid_s {options.valid:g}: the robot went on for")
    for case in options.case:
        rounds = [run(case, options.rate, options.valid, options.patience) for _ in range(options.rounds)]
        figures += rounds
        held = sorted(found["held_s"] for found in rounds)
        print(f"{np.median(held):7.2f} s ({held[0]:.2f} to {held[-1]:.2f})  {CASES[case][0]}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
