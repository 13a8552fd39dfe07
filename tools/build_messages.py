"""Build gaze_vlm_msgs into this interpreter's virtual environment, with the ROS 2 build tools from PyPI.

For machines without a ROS installation; on a robot colcon does this. Run with the venv's own python.
The wheels' exported CMake files name the interpreter they were built with; they are pointed at this one.
Does nothing where the installed build is newer than every source file and was made with the installed rclpy.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "gaze_vlm_msgs"
# As the wheels were built: manylinux's CPython, any version.
BUILDER_PYTHON = re.compile(r"/opt/python/cp3\d+-cp3\d+(?P<rest>[^\s;\"$]*)")


def point_cmake_files_at_this_python(prefix: Path) -> None:
    """Rewrite the interpreter paths in the wheels' exported CMake files, in place."""
    import numpy

    include = sysconfig.get_paths()["include"]
    if not Path(include, "Python.h").is_file():
        sys.exit(f"build_messages: Python.h is not in {include}; install the Python headers (Debian: python3-dev)")

    def here(match: re.Match[str]) -> str:
        rest = match["rest"]
        if rest.startswith("/include/"):
            return include
        if "/numpy/" in rest:
            return numpy.get_include()
        return sys.prefix + rest

    for cmake_file in (prefix / "share").rglob("*.cmake"):
        text = cmake_file.read_text()
        rewritten = BUILDER_PYTHON.sub(here, text)
        if rewritten != text:
            cmake_file.write_text(rewritten)


def main() -> None:
    if sys.prefix == sys.base_prefix:
        sys.exit("build_messages: run me with the python of a virtual environment (make setup does)")
    prefix = Path(sys.prefix)
    installed = prefix / "share" / "gaze_vlm_msgs" / "package.xml"
    built_with = prefix / "build" / "gaze_vlm_msgs_rclpy"  # an environment may get another distribution
    rclpy_version = version("ros-rclpy")
    newest_source = max(path.stat().st_mtime for path in SOURCE.rglob("*") if path.is_file())
    is_new = installed.is_file() and installed.stat().st_mtime > newest_source
    if is_new and built_with.is_file() and built_with.read_text() == rclpy_version:
        return
    point_cmake_files_at_this_python(prefix)
    build = prefix / "build" / "gaze_vlm_msgs"
    shutil.rmtree(build, ignore_errors=True)  # a cache of another prefix would win over our arguments
    environment = dict(
        os.environ,
        PATH=f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}",
        AMENT_PREFIX_PATH=str(prefix),
        CMAKE_PREFIX_PATH=str(prefix),
        LD_LIBRARY_PATH=str(prefix / "lib"),
        PYTHONPATH=sysconfig.get_paths()["purelib"],
    )
    log = prefix / "build" / "gaze_vlm_msgs.log"
    build.mkdir(parents=True)
    configure = ["cmake", "-G", "Ninja", "-S", str(SOURCE), "-B", str(build), f"-DCMAKE_INSTALL_PREFIX={prefix}"]
    configure += ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF", "-Wno-dev"]
    configure += [f"-DPython3_EXECUTABLE={sys.executable}", "-DPython3_FIND_VIRTUALENV=ONLY"]
    with log.open("w") as output:
        for command in (configure, ["cmake", "--build", str(build)], ["cmake", "--install", str(build)]):
            if subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT).returncode:
                sys.exit(f"build_messages: {' '.join(command[:2])} failed:\n{log.read_text()[-3000:]}")
    installed.touch()
    built_with.write_text(rclpy_version)
    print(f"gaze_vlm_msgs built into {prefix}")


if __name__ == "__main__":
    main()
