"""Run the predictor on a simulated person at a bench: no camera, no glasses.

ros2 launch gaze_vlm_ros demo.launch.py checkpoint:=build/demo/fit_real
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from gaze_vlm_ros.nodes.launching import on_exit_argument, parameter_file, when_ended
from gaze_vlm_ros.storage.package_files import shared_file


def generate_launch_description() -> LaunchDescription:
    """Predictor, overlay and simulator; arguments of infer.launch.py may be given too."""
    arguments = [
        DeclareLaunchArgument("checkpoint", description="folder written by training/fit.py; `make demo` makes one"),
        DeclareLaunchArgument("person", default_value="iris", description="any name; determines looks and habits"),
        DeclareLaunchArgument("seed", default_value="0", description="determines everything else in the scene"),
        on_exit_argument(__file__, ("nothing", "shutdown"), "simulator or the predictor"),
        DeclareLaunchArgument(
            "simulator_config",
            default_value=str(shared_file("config/simulator.yaml")),
            description="parameter file of the simulator",
        ),
        DeclareLaunchArgument(
            "config", default_value="", description="simulator_config where this file is not included by another one"
        ),
    ]
    infer = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(shared_file("launch/infer.launch.py"))),
        launch_arguments={name: LaunchConfiguration(name) for name in ("checkpoint", "on_exit")}.items(),
    )
    return LaunchDescription([*arguments, infer, OpaqueFunction(function=_simulator)])


def _simulator(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    simulator = Node(
        package="gaze_vlm_ros",
        executable="simulator",
        name="simulator",
        output="both",
        parameters=[
            parameter_file(context, __file__, "simulator_config"),
            {
                "person": ParameterValue(LaunchConfiguration("person"), value_type=str),
                "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                # Loading the model takes a while; without waiting, the first actions would be missed.
                "wait_for_subscribers": ["camera/image_raw"],
                "wait_s": 300.0,
            },
        ],
    )
    return [simulator, when_ended(simulator, LaunchConfiguration("on_exit").perform(context))]
