"""Predict the person's next action from the camera.

ros2 launch gaze_vlm_ros infer.launch.py checkpoint:=runs/bench camera_topic:=/head_camera/image_raw
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from gaze_vlm_ros.nodes.launching import RESPAWN_DELAY_S, given_parameters, on_exit_argument, parameter_file, when_ended
from gaze_vlm_ros.storage.package_files import shared_file


def generate_launch_description() -> LaunchDescription:
    """Predictor and, unless switched off, overlay."""
    arguments = [
        DeclareLaunchArgument("checkpoint", description="folder written by training/fit.py"),
        DeclareLaunchArgument(
            "backend", default_value="model", description="model, openai (a remote server) or replay (recorded answers)"
        ),
        DeclareLaunchArgument("camera_topic", default_value="camera/image_raw", description="Image or CompressedImage"),
        DeclareLaunchArgument("rate_hz", default_value="", description="queries a second; empty: as predictor_config"),
        DeclareLaunchArgument("device", default_value="", description="cpu, cuda; empty: as predictor_config"),
        DeclareLaunchArgument(
            "threshold", default_value="", description="0..1, least probability; empty: as predictor_config"
        ),
        DeclareLaunchArgument("namespace", default_value="", description="namespace of the nodes and their topics"),
        DeclareLaunchArgument("autostart", default_value="true", description="false: let a lifecycle manager start it"),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="true for bags played with --clock"),
        # A launch that continued without its predictor would look alive to its supervisor; but a launch file that
        # includes this one decides on its own what a robot does without predictions.
        on_exit_argument(__file__, ("nothing", "respawn", "shutdown"), "predictor"),
        DeclareLaunchArgument("respawn", default_value="false", description="true: the same as on_exit:=respawn"),
        # While there is no viewer, the overlay costs a process of 115 MB and no computing time.
        DeclareLaunchArgument("overlay", default_value="true", description="also start the overlay node"),
        DeclareLaunchArgument(
            "overlay_config",
            default_value=str(shared_file("config/overlay.yaml")),
            description="parameter file of the overlay",
        ),
        DeclareLaunchArgument(
            "predictor_config",
            default_value=str(shared_file("config/infer.yaml")),
            description="parameter file of the predictor",
        ),
        DeclareLaunchArgument(
            "config", default_value="", description="predictor_config where this file is not included by another one"
        ),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    on_exit = LaunchConfiguration("on_exit").perform(context)
    if IfCondition(LaunchConfiguration("respawn")).evaluate(context):
        on_exit = "respawn"
    predictor = Node(
        package="gaze_vlm_ros",
        executable="predictor",
        name="predictor",
        namespace=LaunchConfiguration("namespace"),
        output="both",
        respawn=on_exit == "respawn",
        respawn_delay=RESPAWN_DELAY_S,
        parameters=[
            parameter_file(context, __file__, "predictor_config"),
            {
                # Give the type, because launch would read a folder called "7" as a number.
                "checkpoint": ParameterValue(LaunchConfiguration("checkpoint"), value_type=str),
                "backend": ParameterValue(LaunchConfiguration("backend"), value_type=str),
                "camera_topic": ParameterValue(LaunchConfiguration("camera_topic"), value_type=str),
                "autostart": ParameterValue(LaunchConfiguration("autostart"), value_type=bool),
                "use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool),
                **given_parameters(context, rate_hz=float, device=str, threshold=float),
            },
        ],
    )
    overlay = Node(
        package="gaze_vlm_ros",
        executable="overlay",
        name="overlay",
        namespace=LaunchConfiguration("namespace"),
        output="both",
        parameters=[
            LaunchConfiguration("overlay_config"),
            {
                "camera_topic": ParameterValue(LaunchConfiguration("camera_topic"), value_type=str),
                "use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool),
            },
        ],
        condition=IfCondition(LaunchConfiguration("overlay")),
    )
    return [predictor, overlay, when_ended(predictor, on_exit)]
