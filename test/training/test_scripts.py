"""The scripts only parse and print: every option arrives at the function that does the work."""

from pathlib import Path
from typing import Any

import pytest

from training import ablate, evaluate, fit, rules
from training.run.fitting import FitRequest


def test_fit_hands_on_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(fit, "fit", lambda settings, request: given.extend((settings, request)) or 130)
    command = "--out o --set steps=7 --gaze none --resume --cache c --prepare-only --workers 3 --ray --tensorboard a b"
    assert fit.main(command.split()) == 130
    settings, request = given
    assert (settings.steps, settings.gaze) == (7, "none")
    assert request == FitRequest(["a", "b"], Path("o"), Path("c"), 3, "auto", True, True, True)
    fit.main(["--out", "o", "a"])
    assert given[3] == FitRequest(["a"], Path("o"))


def test_evaluate_hands_on_every_option_and_overwrites_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {}

    def evaluate_checkpoint(*positional: Any, **named: Any) -> dict[str, Any]:
        given.update(named, positional=positional)
        return {"value": float("nan")}

    monkeypatch.setattr(evaluate, "evaluate_checkpoint", evaluate_checkpoint)
    monkeypatch.setattr(evaluate, "table", lambda scores: "the table")
    out = tmp_path / "new" / "scores.json"
    options = f"--json {out} --examples 5 --cache c --embedding-model e --device cpu"
    options += " --protocol epic-kitchens --unknown left-out --camera-topic /c"
    assert evaluate.main(["run", "a", "b", *options.split()]) == 0
    assert given == {
        "positional": (Path("run"), ["a", "b"]), "device": "cpu", "cache": Path("c"), "examples": 5,
        "embedding_model": "e", "protocol": "epic-kitchens", "unknown": "left-out",
        "other_settings": {"camera_topic": "/c"},
    }  # fmt: skip
    assert out.read_text() == '{\n "value": null\n}\n'
    assert capsys.readouterr().out == "the table\n"
    with pytest.raises(evaluate.WillNotOverwrite, match="exists already; give another --json"):
        evaluate.main(["run", "a", "--json", str(out)])


def test_ablate_hands_on_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(ablate, "run_ablation", lambda *positional, **named: given.update(named, positional=positional))
    options = "--train a b --test c --jobs 3 --device cpu --limit-s 9 --cache d --keep-weights --gaze-topic /g"
    assert ablate.main(["--config", "x.yaml", "--out", "o", *options.split()]) == 0
    assert given == {
        "positional": (Path("x.yaml"), Path("o")), "train": [Path("a"), Path("b")], "test": [Path("c")], "jobs": 3,
        "device": "cpu", "limit_s": 9.0, "cache": Path("d"), "keep_weights": True,
        "other_settings": {"gaze_topic": "/g"},
    }  # fmt: skip


def test_rules_hands_on_every_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[Any] = []
    monkeypatch.setattr(rules, "measure", lambda *positional: given.append(positional) or {"bench": 2})
    monkeypatch.setattr(rules, "text", lambda figures: f"bench {figures['bench']}")
    out = tmp_path / "new" / "rules.json"
    assert rules.main(f"--bench 2 --train 3 --test 4 --particles 5 --jobs 2 --json {out}".split()) == 0
    assert [[settings.seed for settings in sessions] for sessions in given[0][:2]] == [
        [0, 1, 2],
        [1000, 1001, 1002, 1003],
    ]
    assert given[0][2:5] == (rules.Question(), 5, 2)
    assert out.read_text() == '[\n {\n  "bench": 2\n }\n]\n'
    rules.main([])
    assert [positional[0][0].bench for positional in given[1:]] == [1, 2]
    for option in ("--train 1", "--train 1001", "--test 1", "--particles -1", "--jobs 0"):
        with pytest.raises(rules.BadCount, match=f"{option.split()[0]} is {option.split()[1]}, expected at"):
            rules.main(option.split())
