"""Assess the wearer's gaze beside a predictor that runs on the same camera.

ros2 launch gaze_vlm_ros monitor.launch.py baseline:=tidy.json
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from gaze_vlm_ros.nodes.launching import RESPAWN_DELAY_S, on_exit_argument, parameter_file, when_ended
from gaze_vlm_ros.storage.package_files import shared_file


def generate_launch_description() -> LaunchDescription:
    """The gaze monitor only: the predictor and the eye tracker have launch files of their own."""
    arguments = [
        DeclareLaunchArgument(
            "baseline", default_value="", description="file of gaze-vlm assess --write-baseline; empty: it abstains"
        ),
        DeclareLaunchArgument("gaze_topic", default_value="gaze", description="gaze on the predictor's camera"),
        DeclareLaunchArgument("namespace", default_value="", description="namespace of the node and its topics"),
        DeclareLaunchArgument("autostart", default_value="true", description="false: let a lifecycle manager start it"),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="true for bags played with --clock"),
        on_exit_argument(__file__, ("nothing", "respawn", "shutdown"), "gaze monitor"),
        DeclareLaunchArgument(
            "gaze_monitor_config",
            default_value=str(shared_file("config/gaze_monitor.yaml")),
            description="parameter file of the gaze monitor",
        ),
        DeclareLaunchArgument(
            "config", default_value="", description="gaze_monitor_config where this file is not included by another one"
        ),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    on_exit = LaunchConfiguration("on_exit").perform(context)
    monitor = Node(
        package="gaze_vlm_ros",
        executable="gaze_monitor",
        name="gaze_monitor",
        namespace=LaunchConfiguration("namespace"),
        output="both",
        respawn=on_exit == "respawn",
        respawn_delay=RESPAWN_DELAY_S,
        parameters=[
            parameter_file(context, __file__, "gaze_monitor_config"),
            {
                # Give the type, because launch would read a file called "7" as a number.
                "baseline": ParameterValue(LaunchConfiguration("baseline"), value_type=str),
                "gaze_topic": ParameterValue(LaunchConfiguration("gaze_topic"), value_type=str),
                "autostart": ParameterValue(LaunchConfiguration("autostart"), value_type=bool),
                "use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool),
            },
        ],
    )
    return [monitor, when_ended(monitor, on_exit)]
