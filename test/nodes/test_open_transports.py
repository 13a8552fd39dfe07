"""Which transports a node has open, and the lines that say so."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ros_processes import isolated_environment, start_node, stop

from gaze_vlm_ros.nodes import dds_transport
from gaze_vlm_ros.nodes.dds_transport import FIRST_PORT, PORTS_PER_DOMAIN, SHARED_MEMORY
from gaze_vlm_ros.nodes.open_transports import (
    Network,
    Transports,
    network_of,
    network_text,
    network_warnings,
    transports_of,
)

CONFIG = Path(__file__).resolve().parents[2] / "config"
PORTS = range(7410, 7650)
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
MAPS = (
    "7f1c00000000-7f1c04301000 rw-s 00000000 00:1c 512 /dev/shm/fastdds_0d3bf1ebc0ffee12\n"
    "7f1c05000000-7f1c05087000 rw-s 00000000 00:1c 513 /dev/shm/fastdds_0d3bf1ebc0ffee13\n"
    "7f1c06000000-7f1c99999000 rw-s 00000000 00:1c 514 /dev/shm/fastdds_port7411\n"
)


def row(port: int, state: str, inode: int) -> str:
    return f"  1: 0100007F:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 2 0\n"


def test_transports_are_those_that_this_process_has_open() -> None:
    udp = HEAD + row(7400, "07", 1) + row(7411, "07", 2) + row(7413, "07", 99)
    tcp = HEAD + row(40000, "0A", 3) + row(40001, "01", 4)
    assert transports_of(MAPS, udp, tcp, ["1", "2", "3", "4"], PORTS) == Transports(0x4301000, True, True)
    # A multicast port and a connection to a peer are what LARGE_DATA and a TCP client have as well.
    assert transports_of("", udp, tcp, ["1", "4"], PORTS) == Transports(0, False, False)


def network(transports: Transports | None, **changes: object) -> Network:
    return Network("rmw_fastrtps_cpp", 7, transports, "", False, "")._replace(**changes)


def test_the_line_names_what_is_on() -> None:
    assert network_text(network(Transports(70_258_688, True, True))) == (
        "ROS domain 7, rmw_fastrtps_cpp; transports: shared memory (70.3 MB), UDP, TCP"
    )
    assert network_text(network(Transports(0, False, False), only_here=True, server="10.0.0.1:11811")) == (
        "ROS domain 7, rmw_fastrtps_cpp, peers on this machine only, discovery server 10.0.0.1:11811; transports: none"
    )
    assert network_text(network(None, middleware="rmw_zenoh_cpp")).endswith(
        "rmw_zenoh_cpp; transports are not known here"
    )


def test_warnings_say_what_will_be_missed() -> None:
    assert network_warnings(network(Transports(70_258_688, True, True))) == []
    (deaf,) = network_warnings(network(Transports(9_113_600, False, True), forced="LARGE_DATA"))
    assert "hear nothing of this node" in deaf
    assert deaf.endswith("unset FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA")
    (slow,) = network_warnings(network(Transports(552_960, True, False)))
    assert "large images between programs of this machine may be lost" in slow
    assert network_warnings(network(None)) == []


def test_settings_of_the_environment_are_named() -> None:
    given = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DISCOVERY_SERVER": "a:1"}
    assert network_of("rmw_cyclonedds_cpp", 3, given) == Network("rmw_cyclonedds_cpp", 3, None, "", True, "")
    assert network_of("rmw_fastrtps_cpp", 3, {"ROS_LOCALHOST_ONLY": "1"})[3:] == ("", True, "")
    assert network_of("rmw_fastrtps_cpp", 3, given)[3:] == ("a:1", True, "")


def test_a_node_says_at_its_start_which_transports_it_has(tmp_path: Path) -> None:
    environment = isolated_environment()
    said = {}
    for forced in ("", "LARGE_DATA"):
        changed = dict(environment)
        if forced:  # as somebody set it for all of a robot; it has no effect where only this machine is looked at
            changed = {k: v for k, v in changed.items() if not k.startswith(("FAST", "ROS_AUTO"))}
            changed["FASTDDS_BUILTIN_TRANSPORTS"] = forced
        command = [sys.executable, "-m", "gaze_vlm_ros.nodes.subscriptions", "nobody", "--within", "0.1"]
        done = subprocess.run(command, env=changed, capture_output=True, text=True, check=False, timeout=200)
        said[forced] = done.stderr
    domain = environment["ROS_DOMAIN_ID"]
    assert f"ROS domain {domain}, rmw_fastrtps_cpp, peers on this machine only; transports: shared memory (" in said[""]
    assert "UDP, TCP" in said[""]
    assert "hear nothing" not in said[""]
    assert "unset FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA" in said["LARGE_DATA"]


def test_a_predictor_leaves_nothing_in_shared_memory(tmp_path: Path) -> None:
    """64 MB at each run would fill it, and the lock of a port blocks the next node of its domain."""
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"t_s": 0.0, "candidates": [{"text": "take the mug", "probability": 0.9}]}\n')
    environment = isolated_environment()
    predictor = start_node("predictor", {"backend": "replay", "checkpoint": str(answers)}, environment, tmp_path)
    assert predictor.stdout is not None
    assert any("predictor is ready" in line for line in iter(predictor.stdout.readline, ""))
    segments = re.findall(r"/dev/shm/(fast\w+_[0-9a-f]{16})$", Path(f"/proc/{predictor.pid}/maps").read_text(), re.M)
    stop(predictor)
    ports = range(FIRST_PORT + PORTS_PER_DOMAIN * int(environment["ROS_DOMAIN_ID"]), 1 << 16)[:PORTS_PER_DOMAIN]
    left = [
        path.name
        for path in SHARED_MEMORY.iterdir()
        if (m := re.search(r"port(\d+)", path.name)) and int(m[1]) in ports
    ]
    assert segments
    assert left + [name for name in segments if (SHARED_MEMORY / name).exists()] == []


# The profiles.


@pytest.mark.parametrize(
    ("rclpy", "variable"), [("9.1.2", "FASTDDS_DEFAULT_PROFILES_FILE"), ("7.1.6", "FASTRTPS_DEFAULT_PROFILES_FILE")]
)
def test_the_profile_is_set_by_the_variable_that_the_distribution_reads(
    rclpy: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dds_transport, "version", lambda name: rclpy)
    environment: dict[str, str] = {}
    dds_transport.use_tested_transport(environment)
    assert [name for name in environment if name.startswith("FAST")] == [variable]
    assert Path(environment[variable]).is_file()


@pytest.mark.parametrize(
    "name", ["FASTDDS_BUILTIN_TRANSPORTS", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"]
)
def test_what_the_user_set_stays(name: str) -> None:
    environment = {name: "theirs"}
    dds_transport.use_tested_transport(environment)
    assert {key: value for key, value in environment.items() if key.startswith("FAST")} == {name: "theirs"}


def test_little_shared_memory_takes_the_profile_that_fits_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dds_transport.profile_name(1 << 30) == "fastdds.xml"
    assert dds_transport.profile_name(64 << 20) == "fastdds_small_memory.xml"  # a container's default
    monkeypatch.setattr(dds_transport, "SHARED_MEMORY", tmp_path / "none")
    assert dds_transport.free_shared_memory_bytes() == 0
    monkeypatch.setattr(dds_transport, "SHARED_MEMORY", tmp_path)
    assert dds_transport.free_shared_memory_bytes() > 0


def test_both_profiles_differ_in_the_segment_only() -> None:
    def settings(name: str) -> list[tuple[str, str]]:
        elements = ElementTree.parse(CONFIG / name).getroot().iter()
        return [(element.tag, (element.text or "").strip()) for element in elements]

    pairs = zip(settings("fastdds.xml"), settings("fastdds_small_memory.xml"), strict=True)
    assert [(a[1], b[1]) for a, b in pairs if a != b] == [("67108864", "8388608")]
