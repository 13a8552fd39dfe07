"""Record a training bag: the eye tracker and the recorder.

    ros2 launch gaze_vlm_ros record.launch.py bag:=bags/morning_1 person:=ada task:=sort

With eye_tracker:=false only the recorder is started, and any other driver publishes camera and gaze.
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from gaze_vlm_ros.nodes.launching import given_parameters, on_exit_argument, when_ended
from gaze_vlm_ros.storage.package_files import shared_file


def generate_launch_description() -> LaunchDescription:
    """Recorder and, unless switched off, eye tracker; the recording ends with either."""
    arguments = [
        DeclareLaunchArgument("bag", description="folder of the new bag; must not exist"),
        DeclareLaunchArgument("person", default_value="", description="who wears the glasses"),
        DeclareLaunchArgument("task", default_value="", description="what the person was asked to do"),
        DeclareLaunchArgument("scene", default_value="", description="where it is recorded"),
        DeclareLaunchArgument("camera_topic", default_value="", description="empty: as record_config"),
        DeclareLaunchArgument("gaze_topic", default_value="", description="empty: as record_config"),
        DeclareLaunchArgument("namespace", default_value="", description="namespace of both nodes and their topics"),
        DeclareLaunchArgument("eye_tracker", default_value="true", description="start our driver for Pupil Labs Neon"),
        DeclareLaunchArgument(
            "address", default_value="", description="host:port of the glasses; empty: search the network"
        ),
        # No respawn: a bag is never overwritten.
        on_exit_argument(__file__, ("nothing", "shutdown"), "recording"),
        DeclareLaunchArgument(
            "record_config",
            default_value=str(shared_file("config/record.yaml")),
            description="parameter file of the recorder",
        ),
        DeclareLaunchArgument(
            "eye_tracker_config",
            default_value=str(shared_file("config/eye_tracker.yaml")),
            description="parameter file of the eye tracker",
        ),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    eye_tracker = Node(
        package="gaze_vlm_ros",
        executable="eye_tracker",
        name="eye_tracker",
        namespace=LaunchConfiguration("namespace"),
        output="both",
        condition=IfCondition(LaunchConfiguration("eye_tracker")),
        parameters=[LaunchConfiguration("eye_tracker_config"), given_parameters(context, address=str)],
    )
    given = given_parameters(context, bag=str, person=str, task=str, scene=str, camera_topic=str, gaze_topic=str)
    recorder = Node(
        package="gaze_vlm_ros",
        executable="recorder",
        name="recorder",
        namespace=LaunchConfiguration("namespace"),
        output="both",
        parameters=[LaunchConfiguration("record_config"), given],
    )
    on_exit = LaunchConfiguration("on_exit").perform(context)
    return [
        eye_tracker,
        recorder,
        when_ended(recorder, on_exit),
        # Otherwise the recorder would go on and record nothing.
        when_ended(eye_tracker, on_exit, stopped=[recorder]),
    ]
