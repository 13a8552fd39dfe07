"""Predict the person's next action from the camera.

ros2 launch gaze_vlm_ros infer.launch.py checkpoint:=runs/bench camera_topic:=/head_camera/image_raw
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
    """Predictor and, unless switched off, overlay; both end with the predictor."""
    arguments = [
        DeclareLaunchArgument("checkpoint", description="folder written by training/fit.py"),
        DeclareLaunchArgument(
            "backend", default_value="model", description="model, openai (a remote server) or replay (recorded answers)"
        ),
        DeclareLaunchArgument("camera_topic", default_value="camera/image_raw", description="Image or CompressedImage"),
        DeclareLaunchArgument("namespace", default_value="", description="namespace of the nodes and their topics"),
        DeclareLaunchArgument("autostart", default_value="true", description="false: let a lifecycle manager start it"),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="true for bags played with --clock"),
        # While there is no viewer, the overlay costs a process of 115 MB and no computing time.
        DeclareLaunchArgument("overlay", default_value="true", description="also start the overlay node"),
        DeclareLaunchArgument(
            "overlay_config",
            default_value=str(shared_file("config/overlay.yaml")),
            description="parameter file of the overlay",
        ),
        DeclareLaunchArgument(
            "config", default_value=str(shared_file("config/infer.yaml")), description="parameter file of the predictor"
        ),
    ]
    predictor = Node(
        package="gaze_vlm_ros",
        executable="predictor",
        name="predictor",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("config"),
            {
                # Give the type, because launch would read a folder called "7" as a number.
                "checkpoint": ParameterValue(LaunchConfiguration("checkpoint"), value_type=str),
                "backend": ParameterValue(LaunchConfiguration("backend"), value_type=str),
                "camera_topic": ParameterValue(LaunchConfiguration("camera_topic"), value_type=str),
                "autostart": ParameterValue(LaunchConfiguration("autostart"), value_type=bool),
                "use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool),
            },
        ],
    )
    overlay = Node(
        package="gaze_vlm_ros",
        executable="overlay",
        name="overlay",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("overlay_config"),
            {
                "camera_topic": ParameterValue(LaunchConfiguration("camera_topic"), value_type=str),
                "use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool),
            },
        ],
        condition=IfCondition(LaunchConfiguration("overlay")),
    )
    # A launch that continued without its predictor would look alive to its supervisor.
    ended = RegisterEventHandler(OnProcessExit(target_action=predictor, on_exit=[EmitEvent(event=Shutdown())]))
    return LaunchDescription([*arguments, predictor, overlay, ended])
