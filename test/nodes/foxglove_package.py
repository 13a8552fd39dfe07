"""foxglove_msgs with the one message that is needed, built from its fields: there is no wheel of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest
from video_bags import FIELDS, VIDEO

PACKAGE = """<package format="3">
  <name>foxglove_msgs</name>
  <version>0.0.0</version>
  <description>Of a test.</description>
  <maintainer email="nobody@example.org">nobody</maintainer>
  <license>MIT</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>builtin_interfaces</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""
CMAKE = """cmake_minimum_required(VERSION 3.14)
project(foxglove_msgs)
find_package(ament_cmake REQUIRED)
find_package(builtin_interfaces REQUIRED)
find_package(rosidl_default_generators REQUIRED)
rosidl_generate_interfaces(${PROJECT_NAME} "msg/CompressedVideo.msg" DEPENDENCIES builtin_interfaces)
ament_package()
"""


def build_foxglove_msgs(folder: Path) -> Path:
    """Build it as tools/build_messages.py builds ours; the prefix that it is installed in. Takes seconds."""
    prefix = Path(sys.prefix)
    if not (prefix / "share" / "rosidl_default_generators").is_dir() or not shutil.which("cmake", path=prefix / "bin"):
        pytest.skip("this Python's environment does not build messages")
    source, build, install = folder / "source", folder / "build", folder / "install"
    (source / "msg").mkdir(parents=True)
    (source / "package.xml").write_text(PACKAGE)
    (source / "CMakeLists.txt").write_text(CMAKE)
    (source / "msg" / "CompressedVideo.msg").write_text("\n".join(FIELDS[VIDEO]))
    environment = dict(
        os.environ,
        PATH=f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}",
        AMENT_PREFIX_PATH=str(prefix),
        CMAKE_PREFIX_PATH=str(prefix),
        LD_LIBRARY_PATH=str(prefix / "lib"),
        PYTHONPATH=sysconfig.get_paths()["purelib"],
    )
    configure = ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(build), f"-DCMAKE_INSTALL_PREFIX={install}"]
    configure += [f"-DPython3_EXECUTABLE={sys.executable}", "-DPython3_FIND_VIRTUALENV=ONLY", "-DBUILD_TESTING=OFF"]
    for command in (configure, ["cmake", "--build", str(build)], ["cmake", "--install", str(build)]):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout[-3000:]
    return install


def with_package(environment: Mapping[str, str], install: Path) -> dict[str, str]:
    """The environment of a process that has sourced `install` over this Python's own."""
    (modules,) = install.glob("lib/python*/site-packages")
    added = {
        "PYTHONPATH": modules,
        "LD_LIBRARY_PATH": install / "lib",
        "AMENT_PREFIX_PATH": install,
    }
    before = {"AMENT_PREFIX_PATH": sys.prefix, **environment}
    return {
        **environment,
        **{name: os.pathsep.join(filter(None, (str(path), before.get(name)))) for name, path in added.items()},
    }
