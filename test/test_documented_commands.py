"""Every code block of README, CONTRIBUTING and docs is checked: commands by the programs' own parsers, Python, data.

An untagged block that begins with a command holds only commands. Each program that pages name has a check here; a page
that names another one fails until it has.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from small_bags import write_small_bag

from gaze_vlm_ros import cli
from gaze_vlm_ros.prediction.backends import read_answers
from training import ablate, evaluate, export_windows, fit, pretrain, recipe, report, rules
from training.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PARSERS = {
    "fit": fit,
    "evaluate": evaluate,
    "ablate": ablate,
    "pretrain": pretrain,
    "recipe": recipe,
    "report": report,
    "export_windows": export_windows,
    "rules": rules,
    "gaze-vlm": cli,
}
# [-x] and a|b are choices, KIND and a trailing ... stand for something: a synopsis, and no command to run.
SYNOPSIS = re.compile(r"\[-|\w\|\w|\.\.\.$|\bKIND\b")


class Block(NamedTuple):
    page: str
    language: str
    text: str


def blocks() -> list[Block]:
    """All fenced blocks, except the directives of the documentation site."""
    found = []
    for page in PAGES:
        language, lines = None, []
        for line in page.read_text().splitlines():
            if not line.startswith("```"):
                lines.append(line)
            elif language is None:
                language, lines = line[3:].strip(), []
            else:
                if not language.startswith("{"):
                    found.append(Block(page.name, language, "\n".join(lines)))
                language = None
        assert language is None, f"{page.name}: a code block has no end"
    return found


def split_here_documents(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Commands without the documents that are fed to them, and each (command, document)."""
    documents: list[tuple[str, str]] = []

    def take(match: re.Match[str]) -> str:
        documents.append((match["command"], match["document"]))
        return match["command"] + "\n"

    pattern = re.compile(r"^(?P<command>.*)<<'(?P<end>\w+)'\n(?P<document>.*?)^(?P=end)$", re.MULTILINE | re.DOTALL)
    return pattern.sub(take, text + "\n"), documents


def commands_in(text: str) -> Iterator[str]:
    """Each single command: comments, environment and && taken apart."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r" && ", re.split(r"\s+# |^# ", line)[0]):
            command = re.sub(r"^(\w+=\S+ )+", "", part.strip()).removesuffix("&").strip()
            if command:
                yield command


def is_shell(block: Block) -> bool:
    if block.language:
        return block.language in ("bash", "sh", "console")
    first = next(commands_in(block.text), "")
    return bool(first) and not SYNOPSIS.search(first) and program_of(first) in CHECKS


def program_of(command: str) -> str:
    name = command.split()[0]
    return next((program for program in ("python", "pip") if name.endswith(f"bin/{program}")), name)


# One check for each program.


def check_ours(command: str) -> None:
    """gaze-vlm and the scripts of training/, also where torchrun or accelerate start them."""
    words = shlex.split(command.split(" > ")[0])
    at = next(n for n, word in enumerate(words) if word == "gaze-vlm" or word.startswith("training/"))
    name = words[at].removeprefix("training/").removesuffix(".py")
    arguments = PARSERS[name]._parser().parse_args(words[at + 1 :])
    check_arguments(arguments)


def check_arguments(arguments: argparse.Namespace) -> None:
    config = getattr(arguments, "config", None)
    if config is not None and str(config).startswith("config/"):
        assert (ROOT / config).is_file(), f"no file {config}"
    for value in getattr(arguments, "set", None) or []:
        if getattr(arguments, "command", None) != "label":  # `label describe` has settings of its own
            load_settings(None, [value])


def check_python(command: str) -> None:
    words = shlex.split(command)
    if any(word.startswith("training/") for word in words):
        check_ours(command)
    elif words[1:3] == ["-m", "pytest"]:
        for word in words[3:]:
            assert word.startswith("-") or (ROOT / word).exists(), f"no test {word}"
    elif words[1] == "-m" and words[2].startswith("gaze_vlm_ros."):
        main = ROOT / words[2].replace(".", "/") / "__main__.py"
        check_options(words[3:], main.read_text())
    elif words[1] == "-m":
        assert words[2] in ("venv", "pip", "mypy"), f"no check for python -m {words[2]}"
    elif words[1] not in ("-", "/usr/bin/colcon"):
        script = ROOT / words[1]
        assert script.is_file(), f"no file {words[1]}"
        options, _, ros = " ".join(words[2:]).partition("--ros-args")
        check_options(options.split(), script.read_text())
        for name in re.findall(r"-p (\w+):=", ros):
            assert f'declare_parameter("{name}"' in script.read_text(), f"{words[1]} has no parameter {name}"


def check_options(words: list[str], source: str) -> None:
    """Options by name: what starts servers or takes minutes is not run for it."""
    for word in words:
        if word.startswith("--"):
            assert f'"{word.partition("=")[0]}"' in source, f"no option {word}"


def check_ros2(command: str) -> None:
    words = shlex.split(command)
    if words[1] == "launch":
        assert words[2] == "gaze_vlm_ros"
        launch_file = ROOT / "launch" / words[3]
        known = launch_arguments(launch_file)
        for word in words[4:]:
            assert word.partition(":=")[0] in known, f"{words[3]} has no argument {word}"
    elif words[1] == "run":
        assert words[2] == "gaze_vlm_ros"
        assert f'f"{words[3]} = ' in (ROOT / "setup.py").read_text(), f"no executable {words[3]}"
        for flag, value in pairwise(words):
            if flag == "--params-file":
                assert (ROOT / value).is_file(), f"no file {value}"
            if flag == "-p":
                assert value.partition(":=")[0] in parameters_of(words[3]), f"{words[3]} has no parameter {value}"
    elif words[1:3] == ["security", "create_permission"]:
        enclaves = re.findall(r'<enclave path="(.*)">', (ROOT / words[5]).read_text())
        assert words[4] in enclaves, f"{words[5]} has no enclave {words[4]}"
    else:
        assert words[1] in ("security", "topic", "bag", "node", "param", "service", "lifecycle"), (
            f"no check for ros2 {words[1]}"
        )


def launch_arguments(path: Path) -> set[str]:
    """Names that a launch file declares."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "DeclareLaunchArgument"
        and isinstance(node.args[0], ast.Constant)
    }


def parameters_of(executable: str) -> set[str]:
    """Parameters that the node's file in config/ holds; test/nodes/test_parameters.py compares it with the code."""
    path = ROOT / "config" / f"{ {'recorder': 'record', 'predictor': 'infer'}.get(executable, executable) }.yaml"
    values = yaml.safe_load(path.read_text())
    return {name for node in values.values() for name in node["ros__parameters"]}


def check_make(command: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for word in shlex.split(command)[1:]:
        assert "=" in word or word in targets, f"make has no target {word}"


def check_pip(command: str) -> None:
    groups = (ROOT / "pyproject.toml").read_text().partition("[dependency-groups]")[2].partition("\n[tool")[0]
    words = shlex.split(command)
    assert words[1] == "install"
    for flag, value in pairwise(words):
        if flag == "--group":
            assert re.search(rf"^{value} = \[", groups, re.MULTILINE), f"no group {value}"
        if flag == "-c":
            assert (ROOT / value).is_file()


def check_words(command: str) -> None:
    """Programs that are not ours: the line is one that a shell can split."""
    assert shlex.split(command)


CHECKS: dict[str, Callable[[str], None]] = {
    "gaze-vlm": check_ours,
    "python": check_python,
    "python3": check_python,
    "torchrun": check_ours,
    "accelerate": check_ours,
    "ros2": check_ros2,
    "make": check_make,
    "pip": check_pip,
    **dict.fromkeys(("git", "cd", "touch", "rosdep", "colcon", "vllm", "echo", "cat", "pre-commit"), check_words),
}


SHELL_COMMANDS = [
    (block.page, command)
    for block in blocks()
    if is_shell(block)
    for command in commands_in(split_here_documents(block.text)[0])
]


@pytest.mark.parametrize(("page", "command"), list(dict.fromkeys(SHELL_COMMANDS)))
def test_the_program_takes_it(page: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = program_of(command)
    assert program in CHECKS, f"{page} names {program}, which has no check in this file"
    try:
        CHECKS[program](command)
    except SystemExit:
        pytest.fail(f"{page}: {command}: {capsys.readouterr().err.splitlines()[-1]}")


@pytest.mark.parametrize(
    ("page", "command"),
    sorted(
        {
            (page.name, " ".join(code.split()))
            for page in PAGES
            for code in re.findall(r"(?<!`)`(gaze-vlm [^`]+|python training/[^`]+)`", page.read_text())
            if not SYNOPSIS.search(code)
        }
    ),
)
def test_a_command_within_a_sentence_exists(page: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence may leave out arguments, and may not name what is not there."""
    try:
        check_ours(command.removeprefix("python "))
    except SystemExit as error:
        said = capsys.readouterr().err.splitlines()
        if error.code not in (0, None):
            assert re.search(r"arguments are required|expected one argument", said[-1]), (
                f"{page}: {command}: {said[-1]}"
            )


def test_make_targets_within_a_sentence_exist() -> None:
    for page in PAGES:
        for command in re.findall(r"`(make \w+)`", page.read_text()):
            check_make(command)


@pytest.mark.parametrize("block", [b for b in blocks() if b.language == "python"], ids=lambda b: b.page)
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(block.text, block.page, "exec")
    # LeRobot and webdataset are not installed here, and launch comes with a ROS distribution.
    others = {"lerobot", "webdataset"} | ({"launch"} if find_spec("launch_ros") is None else set())
    imported = set(re.findall(r"^(?:from|import) (\w+)", block.text, re.MULTILINE))
    if imported & others or not imported:
        return
    write_small_bag(tmp_path / "bags" / "morning_1", seed=0, takes=3)
    monkeypatch.chdir(tmp_path)
    exec(code, {"__name__": "__main__"})


@pytest.mark.parametrize("block", [b for b in blocks() if b.language in ("json", "yaml", "xml")], ids=lambda b: b.page)
def test_data_parses(block: Block) -> None:
    {"json": json.loads, "yaml": yaml.safe_load, "xml": ElementTree.fromstring}[block.language](block.text)


@pytest.mark.parametrize(
    ("page", "command", "document"),
    [(b.page, *found) for b in blocks() for found in split_here_documents(b.text)[1]],
)
def test_here_documents_are_what_their_program_reads(page: str, command: str, document: str, tmp_path: Path) -> None:
    if "python" in command:
        compile(document, page, "exec")
    elif ".jsonl" in command:
        path = tmp_path / "answers.jsonl"
        path.write_text(document)
        assert read_answers(path)[1]
    else:
        pytest.fail(f"{page}: no check for what is fed to {command}")


def test_written_answers_are_readable(tmp_path: Path) -> None:
    lines = [command for page, command in SHELL_COMMANDS if command.startswith("echo ") and "answers.jsonl" in command]
    assert lines
    for line in lines:
        path = tmp_path / "answers.jsonl"
        path.write_text(shlex.split(line)[1] + "\n")
        assert read_answers(path)[1]


def test_no_command_hides_in_a_block_of_text() -> None:
    """A line that starts one of our programs stands in a block that is checked."""
    for block in blocks():
        if not is_shell(block) and block.language in ("", "text"):
            hidden = [line for line in block.text.splitlines() if re.match(r"(gaze-vlm|ros2|make|python) \w", line)]
            assert not [line for line in hidden if not SYNOPSIS.search(line)], f"{block.page}: {hidden}"


def test_there_are_commands_to_check() -> None:
    pages = {page for page, _ in SHELL_COMMANDS}
    assert {"README.md", "CONTRIBUTING.md", "training.md"} <= pages
    assert sum(is_shell(block) for block in blocks()) > 30


def test_settings_that_the_training_pages_name_exist() -> None:
    known = set(Settings.__dataclass_fields__)
    for page in ("training.md", "method.md"):
        text = (ROOT / "docs" / page).read_text()
        named = set(re.findall(r"`((?:kl|gaze|lora|split|batch|check|loader)_\w+)[`:]", text))
        assert named <= known | {"kl_div"}, named - known  # a function of torch
    for path in (ROOT / "config").glob("fit_*.yaml"):
        load_settings(path, [])
