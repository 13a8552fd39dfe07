"""For the files in launch/: arguments that stay out of the parameters, and what happens when a node has ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # launch comes with a ROS distribution only
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, RegisterEventHandler
    from launch.events.process import ProcessExited
    from launch_ros.actions import Node
    from launch_ros.parameter_descriptions import ParameterValue

RESPAWN_DELAY_S = 2.0  # a node that cannot start must not keep the computer busy


class NodeFailed(RuntimeError):
    """A node that is needed ended with an error. Launch stops everything then, and exits with code 1."""


def is_launched_itself(file: str, words: Sequence[str]) -> bool:
    """Whether `ros2 launch` was called with this launch file; otherwise another launch file includes it.

    words: the command line, such as ros2 launch gaze_vlm_ros infer.launch.py.
    """
    path = Path(file)
    named = ("gaze_vlm_ros", path.name) in pairwise(words)
    return named or any(word.endswith(path.name) and Path(word).exists() and path.samefile(word) for word in words)


def on_exit_argument(file: str, choices: Sequence[str], node: str) -> DeclareLaunchArgument:
    """Declare `on_exit`. Its default leaves a launch file that includes this one alone."""
    from launch.actions import DeclareLaunchArgument

    return DeclareLaunchArgument(
        "on_exit",
        default_value="shutdown" if is_launched_itself(file, sys.argv) else "nothing",
        choices=list(choices),
        description=f"what follows the end of the {node}; nothing is the default where another file includes this one",
    )


def given_parameters(context: LaunchContext, **types: type) -> dict[str, ParameterValue]:
    """Return the arguments among `types` that are not empty, as parameters of their types."""
    from launch.substitutions import LaunchConfiguration
    from launch_ros.parameter_descriptions import ParameterValue

    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in types.items()
        if context.launch_configurations[name]
    }


def parameter_file(context: LaunchContext, file: str, argument: str) -> str:
    """Return the parameter file that `argument` names, or `config`, which counts only where `file` is launched itself.

    The arguments of a launch file reach all files that it includes, so a parent's `config` is said to be unused.
    """
    config = context.launch_configurations["config"]
    if config and is_launched_itself(file, sys.argv):
        return config
    if config:
        print(f"{Path(file).name}: config:={config} does not count where this file is included; use {argument}")
    return context.launch_configurations[argument]


def when_ended(node: Node, on_exit: str, stopped: Sequence[Node] = ()) -> RegisterEventHandler:
    """Return the handler of the end of `node`.

    on_exit: shutdown = end the whole launch, with exit code 1 unless the node's was 0; nothing = let the rest go on.
    stopped: nodes that are nothing without it, and end with it in any case.
    """
    from launch.actions import EmitEvent, RegisterEventHandler
    from launch.event_handlers import OnProcessExit
    from launch.events import Shutdown, matches_action
    from launch.events.process import ShutdownProcess

    def ended(event: ProcessExited, context: LaunchContext) -> list[Any] | None:
        if context.is_shutdown:
            return None
        if on_exit != "shutdown":
            return [EmitEvent(event=ShutdownProcess(process_matcher=matches_action(other))) for other in stopped]
        if event.returncode:
            raise NodeFailed(f"{event.process_name} failed with exit code {event.returncode}, and on_exit is shutdown")
        return [EmitEvent(event=Shutdown(reason=f"{event.process_name} has ended"))]

    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))
