"""`gaze-vlm label describe`: a vision-language model describes, second by second, what the person does."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gaze_vlm_ros.annotation.answers import answers_from_model, answers_from_server
from gaze_vlm_ros.annotation.clips import Clip, clips_of
from gaze_vlm_ros.annotation.cost import estimate_cost
from gaze_vlm_ros.annotation.describe_settings import NOT_OF_THE_ANSWER, DescribeSettings
from gaze_vlm_ros.annotation.journal import Journal
from gaze_vlm_ros.annotation.placement import PlacementSummary, place_labels, require_no_labels
from gaze_vlm_ros.annotation.replies import Meaning, matched, meaning_of
from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.labels.label_file import bag_identity, label_file_path
from gaze_vlm_ros.session.session import Session, load_session


class NoModel(GazeVlmError):
    """Neither a local model nor a server is named, or both are."""


def describe_bag(
    bag: Path,
    settings: DescribeSettings,
    *,
    model: str = "",  # folder, hub name or tiny:...
    server: str = "",  # or the address of an OpenAI-compatible server, and
    model_name: str = "",  # the model's name there
    key_env: str = "OPENAI_API_KEY",  # environment variable with the server's key, if it needs one
    device: str = "auto",
    replace_labels: bool = False,
    add: bool = False,
    dry_run: bool = False,
    roles: Roles = AS_THE_BAG_SAYS,
    report: Callable[[str], None] = print,
) -> PlacementSummary | None:
    """Query the model about every clip without an answer in the journal, then write the labels beside the bag.

    Returns None after a dry run. Raises NoModel, LabelsExist, NoLabelsFound, and what the model, the journal and
    `place_labels` raise. Whatever ends a run, the journal keeps all earlier answers, and the same call continues.
    """
    if bool(model) == bool(server) or bool(server) != bool(model_name):
        raise NoModel("name a model: either --model FOLDER_OR_HUB, or --server URL with --model-name NAME")
    if not dry_run:
        require_no_labels(bag, replace_labels, add)
    session = load_session(bag, labels_from="nowhere", roles=roles)
    clips = clips_of(session, settings)
    fixed = {key: value for key, value in asdict(settings).items() if key not in NOT_OF_THE_ANSWER}
    run = {"model": model or model_name, "served": bool(server), "bag": _identity(session), "settings": fixed}
    digest = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
    path = label_file_path(bag).with_suffix(f".describe-{digest[:8]}.jsonl")
    if dry_run:
        report(str(estimate_cost(session, clips, set(), settings)))
        return None
    with Journal(path, run) as journal:
        report(str(estimate_cost(session, clips, set(journal.answers), settings)))
        report(f"answers are kept in {path}; after an interruption, run the same command to continue")
        remaining = [number for number in range(len(clips)) if number not in journal.answers]
        if remaining and server:
            key = os.environ.get(key_env, "")
            answers_from_server(
                session, clips, remaining, settings, journal, url=server, model_name=model_name, key=key
            )
        elif remaining:
            answers_from_model(session, clips, remaining, settings, journal, model=model, device=device)
        answers = [journal.answers[number] for number in range(len(clips))]
    meanings = [
        Meaning(problem=answer["problem"]) if answer.get("problem") else meaning_of(answer["reply"], settings)
        for answer in answers
    ]
    meanings = matched(meanings, settings, _embedder(meanings, settings))
    left_out = Counter(meaning.problem for meaning in meanings if meaning.problem)
    actions, details = _actions(clips, meanings, settings.merge)
    source = {
        "kind": "describe",
        "model": model or model_name,
        **(_served(server, answers) if server else {}),
        "prompt": settings.question,
        "prompt_sha256": hashlib.sha256(settings.question.encode()).hexdigest(),
        "settings": asdict(settings),
        "journal": path.name,
    }  # fmt: skip
    return place_labels(session, actions, source, left_out, details=details, replace=replace_labels, add=add)


def _identity(session: Session) -> dict[str, Any]:
    return bag_identity(session.metadata.get("session", ""), session.frames.stamps_ns)


def _served(server: str, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from gaze_vlm_ros.vlm.chat_client import without_secrets

    names = {answer["model"] for answer in answers if isinstance(answer.get("model"), str)}
    return {"server": without_secrets(server), "served_as": sorted(names)}


def _embedder(meanings: Sequence[Meaning], settings: DescribeSettings) -> Any:
    if settings.match != "nearest" or not settings.labels or not any(meaning.text for meaning in meanings):
        return None
    from gaze_vlm_ros.vlm.embeddings import load_embedder

    return load_embedder(settings.embedding_model)


def _actions(
    clips: Sequence[Clip], meanings: Sequence[Meaning], merge: bool
) -> tuple[list[Action], dict[int, dict[str, Any]]]:
    """Return actions, and by their start the other fields of their label. merge: join equal neighbours into one."""
    actions: list[Action] = []
    details: dict[int, dict[str, Any]] = {}
    for clip, meaning in zip(clips, meanings, strict=True):
        if not meaning.text:
            continue
        action = Action(clip.start_ns, clip.end_ns, meaning.text, meaning.verb, meaning.object_class)
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
