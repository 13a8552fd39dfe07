"""Several real processes fit one model: the curve must be that of one process with all their windows in a step."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from gaze_vlm_ros.storage.package_files import shared_file
from training import fit
from training.run import run_folder

FIT = Path(fit.__file__)
BIN = Path(sysconfig.get_path("scripts"))
STEPS = ["steps=4", "check_every=2", "batch_size=4", "device=cpu"]  # windows per process


def launcher(kind: str, folder: Path) -> list[str]:
    """Two processes on CPUs; the launchers choose ports, so that tests can run beside each other."""
    if kind == "ddp":
        return [str(BIN / "torchrun"), "--standalone", "--nproc-per-node", "2"]
    shipped = yaml.safe_load(shared_file("config/accelerate_fsdp.yaml").read_text())
    # With --cpu, accelerate would start one process alone; in the file, the same word leaves it two.
    (folder / "fsdp.yaml").write_text(yaml.safe_dump({**shipped, "use_cpu": True, "num_processes": 2}))
    return [
        str(BIN / "accelerate"), "launch", "--config_file", str(folder / "fsdp.yaml"), "--main_process_port", "0",
    ]  # fmt: skip


def curve(folder: Path) -> list[dict[str, float]]:
    log = [json.loads(line) for line in (folder / run_folder.METRICS).read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "windows_per_s"} for row in log]


@pytest.fixture(scope="module")
def arguments(small_bags: Path, small_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    cache = tmp_path_factory.mktemp("cache")
    chosen = [argument for value in STEPS for argument in ("--set", value)]
    return [*small_settings, *chosen, "--cache", str(cache), *(str(small_bags / f"s{seed}") for seed in range(3))]


@pytest.fixture(scope="module")
def alone(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fit of one process: eight windows a step, in two passes."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert fit.main([*arguments, "--set", "accumulate=2", "--out", str(out)]) == 0
    return out


@pytest.mark.skipif(sys.platform != "linux", reason="gloo between processes is tried on Linux")
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one(kind: str, arguments: list[str], alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    program = tmp_path / "fit_and_say.py"
    program.write_text(
        "import atexit, runpy, torch\n"
        "atexit.register(lambda: print('group open at exit:', torch.distributed.is_initialized()))\n"
        f"runpy.run_path({str(FIT)!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [*launcher(kind, tmp_path), str(program), *arguments, "--out", str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("group open at exit: False") == 2, done.stdout[-3000:]
    assert done.stdout.count("windows to train on") == 1  # the first process alone speaks
    expected, got = curve(alone), curve(out)
    assert expected[0]["kl"] > 0.1
    assert expected[-1]["lm"] < expected[0]["lm"] - 0.1
    assert len(expected) == len(got) == 4
    for one, two in zip(expected, got, strict=True):
        # Sums are taken in another order, and figures are logged with six decimals: no more than that.
        assert two == pytest.approx(one, rel=1e-5, abs=2e-6)
    one, two = (load_file(folder / "model.safetensors") for folder in (alone, out))
    assert set(one) == set(two)
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-4
