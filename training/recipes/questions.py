"""Multiple-choice questions of a benchmark: read from its files, found in our sessions, asked, and counted."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.atomic import write_text
from gaze_vlm_ros.video.frame_selection import pick_frames
from gaze_vlm_ros.windows.cutting import Window
from gaze_vlm_ros.windows.settings import WindowSettings
from training.data.recordings import Recording
from training.evaluation.choices import Choice, answer_choices

QUESTIONS = "questions.json"  # in the folder of a run: who was asked what, and how many were right
_LATE_S = 1.0  # a time in whole seconds may be so much after the last frame


class BadQuestions(GazeVlmError):
    """A file of questions cannot be used."""


@dataclass(frozen=True)
class Question:
    """One question of a benchmark, with its options and the right one."""

    task: str
    session: str
    time_s: float  # since the video's first frame; nothing later may be seen
    text: str
    options: tuple[str, ...]
    answer: int  # index into options


def read_questions(
    layout: str, data: Path, patterns: Sequence[str]
) -> tuple[list[Question], Counter[str], dict[str, str]]:
    """Return the questions in the files of `data`, those left out by reason, and the SHA-256 of each file.

    layout: a name in LAYOUTS. patterns: globs below `data`. Raises BadQuestions.
    """
    paths = sorted({path for pattern in patterns for path in data.glob(pattern)})
    if not paths:
        raise BadQuestions(f"no file {', '.join(patterns)} in {data}; put the benchmark's question files there")
    questions: list[Question] = []
    excluded: Counter[str] = Counter()
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadQuestions(f"{path}: {' '.join(str(error).split())}; expected a JSON file of questions") from None
        found, left_out = LAYOUTS[layout](content, path)
        questions += found
        excluded += left_out
    return questions, excluded, {str(path.relative_to(data)): _sha256(path) for path in paths}


def _streamgaze(content: Any, path: Path) -> tuple[list[Question], Counter[str]]:
    """Read StreamGaze: [{"video_path", "questions": [{"question", "time_stamp", "options", "answer"}, ...]}, ...].

    Options are "A. text", the answer is a letter. Questions of the proactive tasks have no options.
    """
    questions: list[Question] = []
    excluded: Counter[str] = Counter()
    if not isinstance(content, list):
        raise BadQuestions(f"{path} holds no list of entries, as StreamGaze's question files do")
    for number, entry in enumerate(content, 1):
        try:
            session = PurePath(entry.get("video_path") or entry["video"]).stem
            for own in entry["questions"]:
                options = tuple(re.sub(r"^[A-Z][.)]\s*", "", text).strip() for text in own.get("options") or ())
                answer = str(own.get("answer", "")).strip()[:1].upper()
                task = str(own.get("task_type") or path.stem)
                time_s = _clock_s(own["time_stamp"])
                if len(options) < 2:
                    excluded["without options"] += 1
                elif len(set(options)) < len(options):
                    excluded["with two equal options"] += 1
                elif not answer or not 0 <= ord(answer) - ord("A") < len(options):
                    excluded["whose answer is none of the options"] += 1
                else:
                    questions.append(
                        Question(task, session, time_s, str(own["question"]), options, ord(answer) - ord("A"))
                    )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadQuestions(
                f"{path}, entry {number}: {' '.join(str(error).split())}; expected video_path and questions with "
                "question, time_stamp (MM:SS), options and answer"
            ) from None
    return questions, excluded


LAYOUTS: dict[str, Callable[[Any, Path], tuple[list[Question], Counter[str]]]] = {"streamgaze": _streamgaze}


def _clock_s(text: str) -> float:
    """Return the seconds of MM:SS or H:MM:SS. Raises ValueError."""
    parts = str(text).strip().split(":")
    if len(parts) not in (2, 3):
        raise ValueError(f"time {text!r}, expected MM:SS")
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + float(part)
    return seconds


def find_choices(
    questions: Sequence[Question], recordings: Sequence[Recording], settings: WindowSettings
) -> tuple[list[Choice], Counter[str]]:
    """Return the questions about these recordings with the frames before each, and those left out by reason.

    The frames are those of a window of `settings` that ends at the question's time; none is later.
    """
    by_name = {recording.name: recording for recording in recordings}
    stamps = {
        name: load_session(by_name[name].path, roles=by_name[name].roles).frames.stamps_ns
        for name in {question.session for question in questions} & set(by_name)
    }
    choices: list[Choice] = []
    excluded: Counter[str] = Counter()
    for question in questions:
        if question.session not in by_name:
            excluded["about a video that is not among the recordings"] += 1
            continue
        stamps_ns = stamps[question.session]
        at_ns = UNDATED_START_NS + round(question.time_s * 1e9)
        last = int(np.searchsorted(stamps_ns, at_ns, side="right")) - 1
        picked = pick_frames(stamps_ns, at_ns, settings.observation_s, settings.frames)
        if at_ns > int(stamps_ns[-1]) + _LATE_S * 1e9:
            excluded["after the end of the video"] += 1
        elif last < 0 or not len(picked):
            excluded["with too few frames before them"] += 1
        else:
            window = Window(0, int(stamps_ns[last]), tuple(int(frame) for frame in picked), "", 0)
            choices.append(
                Choice(by_name[question.session], window, question.text, question.options, question.answer,
                       question.task)
            )  # fmt: skip
    return choices, excluded


def ask_once(run: Path, choices: Sequence[Choice], own_question: bool, device: str, cache: Path) -> None:
    """Ask the checkpoint in the folder of a run, unless it was asked, write questions.json, and delete the checkpoint.

    Raises BadQuestions where the run was asked other questions, or none and its checkpoint is gone.
    """
    checkpoint, out = run / "checkpoint", run / QUESTIONS
    key = json.dumps([own_question, *([own.recording.digest, own.window.at_ns, own.text, own.options, own.answer]
                                      for own in choices)])  # fmt: skip
    digest = hashlib.sha256(key.encode()).hexdigest()
    if out.is_file() and json.loads(out.read_text(encoding="utf-8"))["digest"] != digest:
        raise BadQuestions(f"{run} was asked other questions; give another --out")
    if not out.is_file():
        if not checkpoint.is_dir():
            raise BadQuestions(f"{run} was made without questions, and its checkpoint is gone; give another --out")
        found = {"digest": digest, **ask(checkpoint, choices, own_question, device, cache)}
        write_text(out, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(checkpoint, ignore_errors=True)


def ask(checkpoint: Path, choices: Sequence[Choice], own_question: bool, device: str, cache: Path) -> dict[str, Any]:
    """Return what was asked and answered, hits by person and task, and how many could not be asked, by reason."""
    answers = answer_choices(checkpoint, choices, own_question=own_question, device=device, cache=cache)
    persons: dict[str, dict[str, list[int]]] = {}
    asked: list[dict[str, Any]] = []
    excluded: Counter[str] = Counter()
    for choice, found in zip(choices, answers, strict=True):
        if isinstance(found, str):
            excluded[found] += 1
            continue
        best = found.argmax(axis=1).tolist()
        person = choice.recording.person or choice.recording.name
        counted = persons.setdefault(person, {}).setdefault(choice.task, [0, 0, 0])
        counted[0] += 1
        counted[1] += best[0] == choice.answer
        counted[2] += best[1] == choice.answer
        asked.append({
            "session": choice.recording.name, "at_ns": choice.window.at_ns, "task": choice.task,
            "options": list(choice.options), "answer": choice.answer, "ranked": best[0],
            "log_likelihoods": [round(value, 4) for value in found[0].tolist()],
        })  # fmt: skip
    return {"persons": persons, "excluded": dict(excluded), "asked": asked}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
