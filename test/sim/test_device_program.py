"""`python -m gaze_vlm_ros.sim.neon_device` and what its user gets wrong."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from neon_fixtures import Synthetic

CHECKOUT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gaze_vlm_ros.sim.neon_device", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=200)


def test_no_recording(tmp_path: Path) -> None:
    result = run(str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == (
        f"neon_device: error: {tmp_path} is no native Neon recording: it has no info.json; "
        "give the folder that the Companion app wrote\n"
    )


@pytest.mark.parametrize("option", ["--port", "--rtsp-port"])
def test_port_that_is_taken(synthetic: Synthetic, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(str(synthetic.folder), "--port", "0", option, str(port))
    assert result.returncode == 1
    assert result.stderr.startswith("neon_device: error: cannot listen on 127.0.0.1")
    assert str(port) in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_fault_that_there_is_not(synthetic: Synthetic) -> None:
    result = run(str(synthetic.folder), "--fault", "nose=1@2")
    assert result.returncode == 1
    assert result.stderr.startswith(
        "neon_device: error: fault 'nose=1@2': no such fault; expected NAME[=VALUE][@SECONDS"
    )
    assert len(result.stderr.splitlines()) == 1
