"""Record a training bag: the eye tracker and the recorder.

    ros2 launch gaze_vlm_ros record.launch.py bag:=bags/morning_1 person:=ada task:=sort

With eye_tracker:=false only the recorder is started, and any other driver publishes camera and gaze.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from gaze_vlm_ros.storage.package_files import shared_file


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument("bag", description="folder of the new bag; must not exist"),
        DeclareLaunchArgument("person", default_value="", description="who wears the glasses"),
        DeclareLaunchArgument("task", default_value="", description="what the person was asked to do"),
        DeclareLaunchArgument("scene", default_value="", description="where it is recorded"),
        DeclareLaunchArgument("namespace", default_value="", description="namespace of both nodes and their topics"),
        DeclareLaunchArgument("eye_tracker", default_value="true", description="start our driver for Pupil Labs Neon"),
        DeclareLaunchArgument(
            "address", default_value="", description="host:port of the glasses; empty = search the network"
        ),
        DeclareLaunchArgument("record_config", default_value=str(shared_file("config/record.yaml"))),
        DeclareLaunchArgument("eye_tracker_config", default_value=str(shared_file("config/eye_tracker.yaml"))),
    ]
    eye_tracker = Node(
        package="gaze_vlm_ros",
        executable="eye_tracker",
        name="eye_tracker",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        condition=IfCondition(LaunchConfiguration("eye_tracker")),
        parameters=[LaunchConfiguration("eye_tracker_config"), {"address": _text("address")}],
    )
    recorder = Node(
        package="gaze_vlm_ros",
        executable="recorder",
        name="recorder",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("record_config"),
            {name: _text(name) for name in ("bag", "person", "task", "scene")},
        ],
    )
    # Without the recorder nothing is left to do; it prints its totals last.
    ended = RegisterEventHandler(OnProcessExit(target_action=recorder, on_exit=[EmitEvent(event=Shutdown())]))
    return LaunchDescription([*arguments, eye_tracker, recorder, ended])


def _text(name: str) -> ParameterValue:
    """Value of a launch argument as a string: launch would read a person called "7" as a number."""
    return ParameterValue(LaunchConfiguration(name), value_type=str)
