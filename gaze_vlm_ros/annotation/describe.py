"""`gaze-vlm label describe`: a vision-language model says, second by second, what the person does."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from gaze_vlm_ros.annotation.describe_settings import NOT_OF_THE_ANSWER, DescribeSettings
from gaze_vlm_ros.annotation.journal import Journal
from gaze_vlm_ros.annotation.place import Placed, place, require_room
from gaze_vlm_ros.annotation.replies import Meaning, matched, meaning_of
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.labels.label_file import bag_identity, label_file_path
from gaze_vlm_ros.session.session import Session, load_session
from gaze_vlm_ros.video.images import RGB, DamagedImage, UnknownEncoding, encode_jpeg

NO_FRAME = "seconds in which no frame decodes"


class NoModel(GazeVlmError):
    """Neither a local model nor a server is named, or both are."""


@dataclass(frozen=True)
class Second:
    """One question: a span of time, and the frames in it."""

    start_ns: int
    end_ns: int
    frames: tuple[int, ...]  # indices of the session's frames


@dataclass(frozen=True)
class Estimate:
    """What a run costs, before it starts."""

    seconds: int
    answered: int  # by an earlier run, in the journal
    images: int  # of the calls that are left
    upload_mb: float  # of these, estimated by the first one's size
    prompt_characters: int
    max_tokens: int

    def __str__(self) -> str:
        calls = self.seconds - self.answered
        known = f" ({self.answered} of {self.seconds} are answered already)" if self.answered else ""
        return (
            f"{calls} calls{known} with {self.images} images, about {self.upload_mb:.1f} MB; each a prompt of "
            f"{self.prompt_characters} characters and at most {self.max_tokens} tokens of answer, "
            f"{calls * self.max_tokens} in all"
        )


def seconds_of(session: Session, settings: DescribeSettings) -> list[Second]:
    """The session cut into spans of settings.window_s, without those that hold no frame."""
    stamps_ns = session.frames.stamps_ns
    window_ns = round(settings.window_s * 1e9)
    found = []
    for start_ns in range(int(stamps_ns[0]), int(stamps_ns[-1]) + 1, window_ns):
        first, stop = np.searchsorted(stamps_ns, [start_ns, start_ns + window_ns])
        if first < stop:
            count = min(settings.frames, int(stop - first))
            # In the middle of equal parts: of one frame, the middle one.
            picked = first + ((np.arange(count) + 0.5) * (stop - first) / count).astype(int)
            found.append(Second(start_ns, start_ns + window_ns, tuple(picked.tolist())))
    return found


def describe_bag(
    bag: Path,
    settings: DescribeSettings,
    *,
    model: str = "",  # folder, hub name or tiny:...
    server: str = "",  # or the address of an OpenAI-compatible server, and
    model_name: str = "",  # what the model is called there
    key_env: str = "OPENAI_API_KEY",  # environment variable that holds the server's key, if it wants one
    device: str = "auto",
    replace_labels: bool = False,
    add: bool = False,
    dry_run: bool = False,
    tell: Callable[[str], None] = print,
) -> Placed | None:
    """Ask about every second that the journal has no answer to, then put labels beside the bag. None after a dry run.

    Raises NoModel, LabelsExist, NoLabelsFound, and what the model, the journal and `place` raise. Whatever ends a run,
    answers that came before are kept, and the same call goes on from there.
    """
    if bool(model) == bool(server) or bool(server) != bool(model_name):
        raise NoModel("name a model: either --model FOLDER_OR_HUB, or --server URL with --model-name NAME")
    if not dry_run:
        require_room(bag, replace_labels, add)
    session = load_session(bag, labels_from="nowhere")
    seconds = seconds_of(session, settings)
    asked = {key: value for key, value in asdict(settings).items() if key not in NOT_OF_THE_ANSWER}
    run = {"model": model or model_name, "served": bool(server), "bag": _identity(session), "settings": asked}
    digest = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
    path = label_file_path(bag).with_suffix(f".describe-{digest[:8]}.jsonl")
    if dry_run:
        tell(str(estimate(session, seconds, set(), settings)))
        return None
    with Journal(path, run) as journal:
        tell(str(estimate(session, seconds, set(journal.answers), settings)))
        tell(f"answers are kept in {path}; when it is interrupted, the same command goes on")
        left = [number for number in range(len(seconds)) if number not in journal.answers]
        if left and server:
            _ask_server(session, seconds, left, settings, server, model_name, os.environ.get(key_env, ""), journal)
        elif left:
            _ask_local(session, seconds, left, settings, model, device, journal)
        answers = [journal.answers[number] for number in range(len(seconds))]
    meanings = [
        Meaning(problem=answer["problem"]) if answer.get("problem") else meaning_of(answer["reply"], settings)
        for answer in answers
    ]
    meanings = matched(meanings, settings, _embedder(meanings, settings))
    left_out = Counter(meaning.problem for meaning in meanings if meaning.problem)
    actions, details = _labels(seconds, meanings, settings.merge)
    source = {
        "kind": "describe",
        "model": model or model_name,
        **(_served(server, answers) if server else {}),
        "prompt": settings.question,
        "prompt_sha256": hashlib.sha256(settings.question.encode()).hexdigest(),
        "settings": asdict(settings),
        "journal": path.name,
    }  # fmt: skip
    return place(session, actions, source, left_out, details=details, replace=replace_labels, add=add)


def _identity(session: Session) -> dict[str, Any]:
    return bag_identity(session.metadata.get("session", ""), session.frames.stamps_ns)


def _served(server: str, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from gaze_vlm_ros.vlm.chat_client import without_secrets

    names = {answer["model"] for answer in answers if isinstance(answer.get("model"), str)}
    return {"server": without_secrets(server), "served_as": sorted(names)}


def estimate(session: Session, seconds: Sequence[Second], answered: set[int], settings: DescribeSettings) -> Estimate:
    """What the questions without an answer will cost."""
    left = [second for number, second in enumerate(seconds) if number not in answered]
    images = sum(len(second.frames) for second in left)
    jpegs = next((found for second in left if (found := _jpegs(session, second, settings))), [b""])
    size_b = sum(map(len, jpegs)) / len(jpegs) * 4 / 3  # base64
    return Estimate(
        len(seconds), len(answered), images, images * size_b / 1e6, len(settings.question), settings.max_tokens
    )


def _pictures(session: Session, second: Second, settings: DescribeSettings) -> list[RGB]:
    """The frames that decode, shrunk."""
    found = []
    for index in second.frames:
        try:
            rgb = session.frames.rgb(index)
        except (DamagedImage, UnknownEncoding):
            continue
        scale = settings.max_side_px / max(rgb.shape[:2])
        if scale < 1:
            size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        found.append(rgb)
    return found


def _jpegs(session: Session, second: Second, settings: DescribeSettings) -> list[bytes]:
    return [encode_jpeg(rgb, settings.jpeg_quality) for rgb in _pictures(session, second, settings)]


def _bar(left: Sequence[int], total: int) -> Any:
    return tqdm(total=total, initial=total - len(left), desc="describe", unit="second", mininterval=0.5)


def _ask_server(
    session: Session,
    seconds: Sequence[Second],
    left: Sequence[int],
    settings: DescribeSettings,
    url: str,
    model_name: str,
    key: str,
    journal: Journal,
) -> None:
    from gaze_vlm_ros.vlm.chat_client import ChatServer

    with (
        closing(ChatServer(url, model_name, key, settings)) as server,
        ThreadPoolExecutor(settings.parallel) as calls,
        _bar(left, len(seconds)) as bar,
    ):
        going: dict[Future[dict[str, Any]], int] = {}

        def gather(done: set[Future[dict[str, Any]]]) -> None:
            errors = []
            for future in done:
                number = going.pop(future)
                try:
                    journal.add(number, future.result())
                    bar.update()
                except GazeVlmError as error:
                    errors.append(error)
            if errors:
                raise errors[0]

        try:
            for number in left:
                jpegs = _jpegs(session, seconds[number], settings)  # frames are read by one thread
                if not jpegs:
                    journal.add(number, {"problem": NO_FRAME})
                    bar.update()
                    continue
                going[calls.submit(server.ask, jpegs)] = number
                if len(going) >= settings.parallel:
                    gather(wait(going, return_when=FIRST_COMPLETED).done)
            while going:
                gather(wait(going, return_when=FIRST_COMPLETED).done)
        except BaseException:
            # Others on their way may still bring an answer that was paid for; Ctrl-C twice does not wait for it.
            server.stop()
            for future in wait(going).done:
                if future.exception() is None:
                    journal.add(going[future], future.result())
            raise


def _ask_local(
    session: Session,
    seconds: Sequence[Second],
    left: Sequence[int],
    settings: DescribeSettings,
    model: str,
    device: str,
    journal: Journal,
) -> None:
    from gaze_vlm_ros.annotation.local_model import LocalModel

    local = LocalModel(model, settings, device)
    with _bar(left, len(seconds)) as bar:
        for batch in _batches(left, settings.batch_size):
            pictures = {number: _pictures(session, seconds[number], settings) for number in batch}
            shown = [number for number in batch if pictures[number]]
            answers = local.ask_all([pictures[number] for number in shown]) if shown else []
            for number, answer in zip(shown, answers, strict=True):
                journal.add(number, answer)
            for number in batch:
                if not pictures[number]:
                    journal.add(number, {"problem": NO_FRAME})
            bar.update(len(batch))


def _batches(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


def _embedder(meanings: Sequence[Meaning], settings: DescribeSettings) -> Any:
    if settings.match != "nearest" or not settings.labels or not any(meaning.text for meaning in meanings):
        return None
    from gaze_vlm_ros.vlm.embeddings import load_embedder

    return load_embedder(settings.embedding_model)


def _labels(
    seconds: Sequence[Second], meanings: Sequence[Meaning], merge: bool
) -> tuple[list[Action], dict[int, dict[str, Any]]]:
    """Actions, and by their start what else a label records. merge: equal ones that follow each other become one."""
    actions: list[Action] = []
    details: dict[int, dict[str, Any]] = {}
    for second, meaning in zip(seconds, meanings, strict=True):
        if not meaning.text:
            continue
        action = Action(second.start_ns, second.end_ns, meaning.text, meaning.verb, meaning.object_class)
        same = actions and (actions[-1].text, actions[-1].verb, actions[-1].object_class) == (
            action.text, action.verb, action.object_class,
        )  # fmt: skip
        if merge and same and actions[-1].end_ns == action.start_ns:
            actions[-1] = replace(actions[-1], end_ns=action.end_ns)
            continue
        actions.append(action)
        if meaning.said:
            details[action.start_ns] = {"said": meaning.said, "similarity": meaning.similarity}
    return actions, details
