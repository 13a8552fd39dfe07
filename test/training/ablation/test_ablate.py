"""Many small fits and their tables; what is finished is kept."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import t as student_t

from gaze_vlm_ros.session.session import load_session
from training import ablate
from training.ablation import experiment, guards, latex, plan, runner, simulated, worker_tasks
from training.ablation.statistics import MEASURES, Row, mean_over_seeds, summary
from training.settings import Settings, load_settings, save_settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def config(tmp_path: Path, small_settings: list[str]) -> Path:
    values = {
        "fit": "config/fit_demo.yaml",
        "baseline": "no gaze",
        "seeds": [0, 1],
        "set": {
            **{name: yaml.safe_load(text) for name, _, text in (part.partition("=") for part in small_settings[1::2])},
            "steps": 6,
            "check_every": 6,
        },
        "arms": {"gaze": {}, "no gaze": {"gaze": "none"}},
        "sweeps": {
            "windows": {"setting": "windows", "values": [8], "arms": ["gaze"]},
            "model": {"values": {"q_3": {"model": "tiny:qwen3-vl", "windows": 8}}, "arms": ["gaze"]},
        },
    }
    path = tmp_path / "ablation.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def test_runs_are_scored_tabled_and_kept(config: Path, small_bags: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train = ["--train", *(str(small_bags / f"s{seed}") for seed in range(3))]
    command = ["--config", str(config), "--out", str(out), *train, "--test", str(small_bags / "s3"), "--jobs", "1"]
    assert ablate.main(command) == 0
    runs = list(csv.DictReader((out / "runs.csv").open()))
    assert [(run["arm"], run["value"], run["seed"]) for run in runs] == [
        ("gaze", "", "0"), ("no gaze", "", "0"), ("gaze", "", "1"), ("no gaze", "", "1"), ("gaze", "8", "0"),
        ("gaze", "8", "1"), ("gaze", "q_3", "0"), ("gaze", "q_3", "1"),
    ]  # fmt: skip
    scores = json.loads((out / "gaze__seed1" / "scores.json").read_text())["groups"]["elsewhere"]
    assert float(runs[2]["top1"]) == pytest.approx(scores["top1"]["value"], abs=1e-4)
    lines = list(csv.DictReader((out / "summary.csv").open()))
    main = [line for line in lines if line["sweep"] == ""]
    of = {
        arm: np.array([float(run["top1"]) for run in runs if run["arm"] == arm and not run["sweep"]])
        for arm in ("gaze", "no gaze")
    }
    assert float(main[0]["top1"]) == pytest.approx(of["gaze"].mean(), abs=1e-4)
    assert float(main[0]["difference"]) == pytest.approx((of["gaze"] - of["no gaze"]).mean(), abs=1e-4)
    assert float(main[0]["training_top1"]) == pytest.approx(
        np.mean(
            [json.loads((out / f"gaze__seed{seed}" / "scores.json").read_text())["training_top1"] for seed in (0, 1)]
        ),
        abs=1e-4,
    )
    assert load_settings(out / "gaze__model=q_3__seed0" / "settings.yaml").model == "tiny:qwen3-vl"
    tables = (out / "table.tex").read_text()
    assert "\ngaze & $" in tables
    assert "sessions & model & q\\_3" in tables
    assert f"elsewhere & gaze & ${np.mean([float(run['top1']) for run in runs[-2:]]):.3f}$" in tables
    assert all(0 <= float(run["rouge_l"]) <= 1 and float(run["answer_ms"]) > 0 for run in runs)
    assert not any(run["semantic"] != "nan" for run in runs)
    page = (out / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert (out / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "sweep_model.pdf").read_bytes().startswith(b"%PDF")
    assert "<th>ROUGE-L</th>" in page
    assert "<th>semantic</th>" not in page
    assert not list(out.glob("*/checkpoint"))

    # Nothing is done again, and a new seed alone is added.
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*/scores.json")}
    config.write_text(config.read_text().replace("seeds:\n- 0\n- 1\n", "seeds:\n- 0\n- 1\n- 2\n"))
    assert ablate.main([*command, "--limit-s", "0.001"]) == 0  # too late to begin another
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/scores.json")} == stamps
    # A sweep without the baseline is compared with the recipe's.
    swept = next(line for line in lines if line["sweep"] == "windows")
    eight = np.array([float(run["top1"]) for run in runs if run["value"] == "8"])
    assert float(swept["difference"]) == pytest.approx((eight - of["no gaze"]).mean(), abs=1e-4)
    assert "gaze__seed2: not run yet" in (out / "report.html").read_text()

    # The same names for something else are not taken for it.
    other = [*command[:-1], "1", "--limit-s", "0.001"]
    with pytest.raises(guards.OtherRuns, match=r"gaze__seed0 is finished.*: the bags to train were others; give anoth"):
        ablate.main([bag for bag in other if not bag.endswith("s1")])
    config.write_text(config.read_text().replace("steps: 6", "steps: 7"))
    with pytest.raises(
        guards.OtherRuns, match=r"gaze__seed0 is finished, .*: steps was 6 and is 7; give another --out"
    ):
        ablate.main(other)


def test_a_run_that_fails_is_named_and_the_others_are_tabled(
    config: Path, small_bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit_and_evaluate(weights: Path, settings: Settings, *_: object) -> dict[str, object]:
        if settings.gaze == "none":
            raise RuntimeError("no kernel\nfor this")
        weights.mkdir()
        save_settings(settings, weights / "settings.yaml")
        (weights / "metrics.jsonl").touch()
        return {"groups": {}, "seconds": {"fit": 1.0, "evaluate": 1.0}}

    monkeypatch.setattr(runner, "fit_and_evaluate", fit_and_evaluate)
    monkeypatch.setattr(experiment, "prepare_windows", lambda *_: None)
    monkeypatch.setattr(worker_tasks, "worker_pool", ThreadPoolExecutor)
    out, bag = tmp_path / "out", str(small_bags / "s0")
    command = ["--config", str(config), "--out", str(out), "--train", bag, "--test", bag, "--jobs", "1"]
    with pytest.raises(experiment.RunsFailed, match=r"2 of 8 runs failed.*: no_gaze__seed0, no_gaze__seed1"):
        ablate.main(command)
    assert "no_gaze__seed1 failed: RuntimeError: no kernel for this; see" in capsys.readouterr().err
    assert "Traceback" in (out / "no_gaze__seed1.part" / "log.txt").read_text()
    assert len(list(out.glob("*/scores.json"))) == 6
    assert "no_gaze__seed0: RuntimeError: no kernel for this" in (out / "report.html").read_text()

    # Runs of a version that did not record bags are kept, and named.
    scores = out / "gaze__seed0" / "scores.json"
    scores.write_text(
        json.dumps({key: value for key, value in json.loads(scores.read_text()).items() if key != "bags"})
    )
    ablate.main([*command, "--limit-s", "0.001"])
    assert "1 runs do not record their bags, and are kept: gaze__seed0" in capsys.readouterr().out


def test_simulated_sessions_of_another_configuration_are_not_taken(config: Path, tmp_path: Path) -> None:
    (tmp_path / "bags").mkdir()
    (tmp_path / "settings.json").write_text(json.dumps({"simulate": {"session_s": 50.0}}))
    ablation = dataclasses.replace(plan.load_ablation(config), simulate={"session_s": 20.0})
    with pytest.raises(guards.OtherRuns, match=r"session_s was 50\.0 and is 20\.0"):
        guards.require_same_sessions(ablation, tmp_path / "settings.json")


def test_a_simulated_session_has_the_name_of_its_bag(config: Path, tmp_path: Path) -> None:
    simulate = {"training_sessions": 1, "held_out_sessions": 0, "misleading_sessions": 0, "session_s": 2.0}
    ablation = dataclasses.replace(plan.load_ablation(config), simulate={**simulate, "tasks": ["tidy"]})
    sessions = simulated.simulated_sessions(ablation, tmp_path, 1)
    assert sessions[0] == sessions[1]  # all seeds share them
    train, test = sessions[0].train, sessions[0].test
    assert (load_session(train[0]).name, test) == ("train_000", ())
    assert {path.name for path in train[0].iterdir()} == {"metadata.yaml", "train_000_0.mcap"}
    assert tuple((tmp_path / "bags").iterdir()) == train


def test_each_seed_has_sessions_and_persons_of_its_own(config: Path, tmp_path: Path) -> None:
    simulate = {"training_sessions": 1, "held_out_sessions": 1, "misleading_sessions": 0, "session_s": 2.0}
    simulate |= {"tasks": ["tidy"], "for_each_seed": True}
    ablation = dataclasses.replace(plan.load_ablation(config), simulate=simulate)
    sessions = simulated.simulated_sessions(ablation, tmp_path, 1)
    bags = [bag for own in sessions.values() for bag in (*own.train, *own.test)]
    assert [bag.relative_to(tmp_path).as_posix() for bag in bags] == [
        "bags/seed0/train_000", "bags/seed0/held_out_000", "bags/seed1/train_000", "bags/seed1/held_out_000",
    ]  # fmt: skip
    assert len({load_session(bag).person for bag in bags}) == 4
    assert not list(tmp_path.rglob("*.part"))


def test_an_arm_that_cannot_be_trained_is_told_before_the_first_fit(config: Path, tmp_path: Path) -> None:
    values = yaml.safe_load(config.read_text())
    values["arms"]["drawn"] = {"gaze_as": "painted"}
    config.write_text(yaml.safe_dump(values))
    with pytest.raises(plan.BadAblation, match="gaze_as is 'painted'"):
        ablate.main(["--config", str(config), "--out", str(tmp_path / "out")])
    values["baseline"] = "nothing"
    config.write_text(yaml.safe_dump(values))
    with pytest.raises(plan.BadAblation, match="baseline names arm 'nothing', and there are only"):
        ablate.main(["--config", str(config), "--out", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("arms", "shared"),
    [
        (["gaze+block", "gaze block"], "gaze_block__seed0"),
        (["Gaze", "gaze"], "gaze__seed0"),  # one folder on a Mac
        (["né", "ne\u0301"], "ne__seed0"),
    ],
)
def test_arms_that_would_share_a_folder_are_refused(config: Path, arms: list[str], shared: str) -> None:
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(values | {"arms": {arm: {} for arm in arms}, "baseline": arms[0], "sweeps": {}}))
    with pytest.raises(plan.BadAblation, match=f"arm .* and arm .* would share one result, the file name {shared}"):
        plan.load_ablation(config)
    config.write_text(yaml.safe_dump(values | {"seeds": [0, 0]}))
    with pytest.raises(plan.BadAblation, match="arm 'gaze', seed 0 and arm 'gaze', seed 0 would share"):
        plan.load_ablation(config)


def test_names_are_ascii_in_files_and_escaped_in_latex() -> None:
    run = plan.Run("λ = 0, gaze & Brücke", "", None, 1, {})
    assert run.folder == "lambda_=_0__gaze___Brucke__seed1"
    figures = {"top1": mean_over_seeds([0.5]), "difference": None, "overlap": None}
    lines: Any = [{"sessions": "a_b#1", "sweep": "", "arm": r"50% & $x$ {^~\}", **figures}]
    table = latex.latex_table(lines, "base")
    assert r"{a\_b\#1}" in table
    assert r"50\% \& \$x\$ \{\textasciicircum{}\textasciitilde{}\textbackslash{}\} & $0.500$ & -- & -- \\" in table


@pytest.mark.parametrize("name", ["workbench", "models", "stream", "stream_parts", "stream_bench2"])
def test_configurations_can_be_used(name: str) -> None:
    ablation = plan.load_ablation(ROOT / "config" / f"ablate_{name}.yaml")
    runs = plan.runs_of(ablation)
    assert len({run.folder for run in runs}) == len(runs)
    assert [run.sweep for run in runs[: len(ablation.arms) * len(ablation.seeds)]] == [""] * len(ablation.arms) * len(
        ablation.seeds
    )
    base = ROOT if ablation.base else None
    for run in runs:
        assert plan.run_settings(ablation, run, "cpu", base).seed == run.seed


def test_a_sweep_of_neither_kind_is_refused(config: Path) -> None:
    values = yaml.safe_load(config.read_text())
    values["sweeps"]["windows"] = {"values": [8], "arms": ["gaze"]}
    config.write_text(yaml.safe_dump(values))
    with pytest.raises(plan.BadAblation, match="a sweep needs a setting and a list of values, or no setting and"):
        plan.load_ablation(config)


def test_a_killed_process_costs_what_ran_in_it_and_beside_it() -> None:
    ended = dict(
        worker_tasks.as_finished(_die_if_asked, {"first": ["die"], "second": [], "third": []}, 1, float("inf"))
    )
    assert ended["first"].startswith("its process, or one beside it, was killed")
    assert (ended["second"], ended["third"]) == ("", "")


def test_waiting_shows_how_far_each_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_tasks, "worker_pool", ThreadPoolExecutor)
    seen: list[list[str]] = []
    list(worker_tasks.as_finished(lambda name, _: (name, ""), {"a": 1, "b": 2}, 2, float("inf"), seen.append))
    assert seen[0] == ["a", "b"]

    settings = Settings(steps=3)
    metrics = tmp_path / "gaze__seed0.part" / "checkpoint" / "metrics.jsonl"
    metrics.parent.mkdir(parents=True)
    shown = [runner.progress_text(tmp_path, "gaze__seed0", settings)]
    for _ in range(3):
        with metrics.open("a") as file:
            file.write("{}\n")
        shown.append(runner.progress_text(tmp_path, "gaze__seed0", settings))
    assert shown == [
        "gaze__seed0 begins", "gaze__seed0 step 1 of 3", "gaze__seed0 step 2 of 3", "gaze__seed0 is evaluated",
    ]  # fmt: skip


def _die_if_asked(folder: str, arguments: list[str]) -> tuple[str, str]:
    if arguments:
        os.kill(os.getpid(), signal.SIGKILL)
    return folder, ""


def test_workers_end_with_what_began_them(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "import os, time, sys\n"
        "def work():\n    print(os.getpid(), flush=True)\n    time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        f"    sys.path.insert(0, {str(ROOT)!r})\n"
        "    from training.data.workers import worker_pool\n"
        "    worker_pool(1).submit(work).result()\n"
    )
    parent = subprocess.Popen([sys.executable, tmp_path / "work.py"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until = time.monotonic() + 20
    while (alive := _runs(worker)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_differences_have_intervals_over_persons_and_p_values_for_their_number() -> None:
    def row(arm: str, seed: int, share: float) -> Row:
        persons = {f"p{seed}_{number}": {"take": [20, round(20 * share) - number % 2, 20]} for number in range(6)}
        hits = sum(own["take"][1] for own in persons.values())
        measures = dict.fromkeys(MEASURES, hits / 120)
        return Row(arm, "", "", seed, "bench", 120, measures, {}, persons, 1.0, 1.0, 1.0)

    shares = {"gaze": 0.8, "other": 0.7, "same": 0.5, "none": 0.5}
    rows = [row(arm, seed, share) for seed in range(3) for arm, share in shares.items()]
    table = {line["arm"]: line for line in summary(rows, "none", plan.Primary("gaze", "bench"))}
    assert table["gaze"]["difference_by_person"].value == pytest.approx(table["gaze"]["difference"].value)
    assert table["none"]["difference_by_person"] is table["none"]["p"] is None
    least = 2 / 1001
    assert table["gaze"]["p"] == pytest.approx(least)  # the primary one stays as it is
    assert (table["other"]["p"], table["same"]["p"]) == (pytest.approx(2 * least), 1)
    assert {line["arm"]: line["p"] for line in summary(rows, "none")}["gaze"] == pytest.approx(3 * least)
    assert table["gaze"]["by_person"].persons == 18


def test_intervals_over_seeds_are_students() -> None:
    values = [0.5, 0.6, 0.9]
    mean = mean_over_seeds(values)
    assert mean.value == pytest.approx(2 / 3)
    assert mean.half_width == pytest.approx(student_t.ppf(0.975, 2) * np.std(values, ddof=1) / 3**0.5)
    assert np.isnan(mean_over_seeds([0.5]).half_width)
    assert mean_over_seeds([0.5, float("nan")]).seeds == 1
