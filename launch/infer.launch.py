"""Predict the person's next action from the camera alone.

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
    arguments = [
        DeclareLaunchArgument("checkpoint", description="folder that training/fit.py wrote"),
        DeclareLaunchArgument(
            "backend", default_value="model", description="replay: recorded answers, without a model"
        ),
        DeclareLaunchArgument("camera_topic", default_value="camera/image_raw", description="Image or CompressedImage"),
        DeclareLaunchArgument("namespace", default_value="", description="of the node and its topics"),
        DeclareLaunchArgument("autostart", default_value="true", description="false: a lifecycle manager starts it"),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="for bags played with --clock"),
        # It costs a process of 115 MB, and nothing else while nobody looks.
        DeclareLaunchArgument("overlay", default_value="true", description="draw it when somebody looks, see overlay"),
        DeclareLaunchArgument("overlay_config", default_value=str(shared_file("config/overlay.yaml"))),
        DeclareLaunchArgument("config", default_value=str(shared_file("config/infer.yaml"))),
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
                # Typed, because launch would read a folder called "7" as a number.
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
    # A launch that goes on without its predictor would look alive to whoever supervises it.
    ended = RegisterEventHandler(OnProcessExit(target_action=predictor, on_exit=[EmitEvent(event=Shutdown())]))
    return LaunchDescription([*arguments, predictor, overlay, ended])
