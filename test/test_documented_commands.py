"""Commands that README and docs tell people to run are ones that the programs take."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from gaze_vlm_ros import cli
from training import ablate, evaluate, export_windows, fit, report
from training.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PARSERS = {
    "fit": fit,
    "evaluate": evaluate,
    "ablate": ablate,
    "report": report,
    "export_windows": export_windows,
    "gaze-vlm": cli,
}


def commands() -> list[tuple[str, str]]:
    """(page, command) of each line of a code block that starts one of our programs; a synopsis is none."""
    found = []
    for page in PAGES:
        blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        for line in "".join(blocks).replace("\\\n", " ").splitlines():
            command = line.split("  #")[0].strip()
            synopsis = re.search(r"\[-|\w\|\w|\.\.\.$|\bKIND\b", command)
            if re.search(r"(training/\w+\.py|^gaze-vlm) ", command) and not synopsis:
                found.append((page.name, command))
    return found


def parsed(command: str) -> argparse.Namespace:
    words = shlex.split(command)
    at = next(n for n, word in enumerate(words) if word == "gaze-vlm" or word.startswith("training/"))
    name = words[at].removeprefix("training/").removesuffix(".py")
    return PARSERS[name]._parser().parse_args(words[at + 1 :])


@pytest.mark.parametrize(("page", "command"), commands())
def test_the_program_takes_it(page: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        arguments = parsed(command)
    except SystemExit:
        pytest.fail(f"{page}: {command}: {capsys.readouterr().err.splitlines()[-1]}")
    config = getattr(arguments, "config", None)
    if config is not None and str(config).startswith("config/"):
        assert (ROOT / config).is_file()
    for value in getattr(arguments, "set", None) or []:
        load_settings(None, [value])


def test_there_are_commands_to_check() -> None:
    pages = {page for page, _ in commands()}
    assert {"README.md", "training.md"} <= pages
    assert len(commands()) > 25


def test_settings_that_the_training_pages_name_exist() -> None:
    known = set(Settings.__dataclass_fields__)
    for page in ("training.md", "method.md"):
        text = (ROOT / "docs" / page).read_text()
        named = set(re.findall(r"`((?:kl|gaze|lora|split|batch|check|loader)_\w+)[`:]", text))
        assert named <= known | {"kl_div"}, named - known  # a function of torch
    for recipe in (ROOT / "config").glob("fit_*.yaml"):
        load_settings(recipe, [])
