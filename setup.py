"""ament_python build: executables for `ros2 run`, launch and config files for `ros2 launch`."""

from glob import glob

from setuptools import find_packages, setup

NAME = "gaze_vlm_ros"

setup(
    name=NAME,
    version="0.1.0",
    description="Gaze-regularized vision-language models for ROS 2: record, train, predict.",
    license="Apache-2.0",
    maintainer="gaze_vlm_ros maintainers",
    maintainer_email="maintainers@gaze-vlm-ros.dev",
    python_requires=">=3.10",
    # Dependencies are declared in package.xml (rosdep) and in pyproject.toml's groups (pip).
    install_requires=["setuptools"],
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed"], f"{NAME}.annotation.review": ["page.html"]},
    zip_safe=True,
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
        (f"share/{NAME}/config", glob("config/*.*")),
        (f"share/{NAME}/config/sros2", glob("config/sros2/*")),
        (f"share/{NAME}/examples", glob("examples/*.py")),  # the demo's planner is one of them
        # Not a package on purpose: a top-level module called `training` belongs to no one.
        *((f"share/{NAME}/{folder}", glob(f"{folder}/*.py")) for folder in ("training", *glob("training/[a-z]*/"))),
        *((f"share/{NAME}/{folder}", glob(f"{folder}*")) for folder in glob("training/pretraining/shipped/*/")),
    ],
    entry_points={
        "console_scripts": [
            f"eye_tracker = {NAME}.terminal.starting:eye_tracker",
            f"gaze_monitor = {NAME}.terminal.starting:gaze_monitor",
            f"overlay = {NAME}.terminal.starting:overlay",
            f"predicates = {NAME}.terminal.starting:predicates",
            f"predictor = {NAME}.terminal.starting:predictor",
            f"recorder = {NAME}.terminal.starting:recorder",
            f"simulator = {NAME}.terminal.starting:simulator",
            f"gaze-vlm = {NAME}.terminal.starting:gaze_vlm",
        ],
    },
)
