"""`gaze-vlm assess`: gaze of whole recordings against a model's attention and a baseline. No ROS needed."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gaze_vlm_ros.assessment.baseline import (
    BadBaseline,
    Baseline,
    made_baseline,
    read_baseline,
    require_model,
    write_baseline,
)
from gaze_vlm_ros.assessment.moments import MEASURES, RATE_HZ, WINDOW_S
from gaze_vlm_ros.assessment.options import JSON_NAME, PAGE_NAME
from gaze_vlm_ros.assessment.pupil import pupil_baseline_mm
from gaze_vlm_ros.assessment.sessions import (
    STANDS_OUT,
    NothingToAssess,
    SessionAssessment,
    assess,
    attend,
)
from gaze_vlm_ros.assessment.table import table
from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.backends.factory import open_backend
from gaze_vlm_ros.session.session import Session, open_session, session_digest
from gaze_vlm_ros.storage.json_values import json_ready
from gaze_vlm_ros.terminal.status_line import StatusLine


class FolderTaken(GazeVlmError):
    """The folder for the results exists already, or cannot be written."""


def run_assess(
    bag: Sequence[Path],
    checkpoint: Path,
    baseline: Path | None,
    write: Path | None,
    out: Path | None,
    as_json: bool,
    device: str,
    roles: Roles = AS_THE_BAG_SAYS,
) -> int:
    """Assess the bags, or make a baseline of them, and return the exit code.

    A bag that cannot be assessed is reported in one line on stderr and left out (exit code 1); a single one, and any
    bag of a baseline, raises. Raises BadBaseline, FolderTaken, NothingToAssess, NoAttention, and what open_session and
    open_backend raise.
    """
    if baseline is not None and write is not None:
        raise BadBaseline("--baseline and --write-baseline exclude each other; give one of them")
    if write is not None and write.exists():
        raise BadBaseline(f"{write} exists already and is not overwritten; give another name")
    if out is not None and out.exists():
        raise FolderTaken(f"{out} exists already and is not overwritten; give another name")
    normal = read_baseline(baseline) if baseline is not None else None
    if out is not None:
        from gaze_vlm_ros.assessment.page import write_page  # fail now if a package is missing
    backend = open_backend(checkpoint, device=device)
    metadata = backend.metadata
    found: list[SessionAssessment] = []
    sessions: list[Session] = []
    status = None if as_json else StatusLine(f"assess {len(bag)} session(s) with {checkpoint}")
    report = status.show if status else lambda _: None
    failed = False
    try:
        if normal is not None and baseline is not None:
            require_model(normal, baseline, metadata.revision, metadata.model_id)
        for path in bag:
            try:
                session = open_session(path, roles=roles)
                gaze = session.gaze
                if gaze is None or not len(gaze):
                    raise NothingToAssess(f"{path} has no gaze to assess; leave the bag out")
                found.append(assess(session, gaze, attend(session, gaze, backend, report), normal))
            except GazeVlmError as error:
                if len(bag) == 1 or write is not None:
                    raise
                print(f"gaze-vlm: error: {error}", file=sys.stderr)
                failed = True
                continue
            sessions.append(session)
            if session_digest(session) in metadata.trained_on:
                print(f"gaze-vlm: {path}: the model was trained on it, so its gaze surprises less", file=sys.stderr)
    finally:
        backend.close()
    if status:
        status.done(f"{len(found)} assessed")
    if write is not None:
        made = _baseline_of(metadata.model_id, metadata.revision, sessions, found)
        write_baseline(write, made)
        print(f"{write}: {made.windows} windows of {len(found)} session(s)")
        return 0
    if not found:
        return 1
    figures = _figures(found, metadata.model_id, normal)
    print(json.dumps(figures, indent=1, ensure_ascii=False) if as_json else table(found))
    if out is not None:
        try:
            out.mkdir(parents=True)
            (out / JSON_NAME).write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            write_page(out / PAGE_NAME, metadata.model_id, normal, sessions, found)
        except OSError as error:
            shutil.rmtree(out, ignore_errors=True)
            raise FolderTaken(f"cannot write to {out}: {error.strerror}; give another place") from None
        if not as_json:
            print(f"\n{out / PAGE_NAME}, {out / JSON_NAME}")
    return int(failed)


def _baseline_of(
    model_id: str, revision: str, sessions: Sequence[Session], found: Sequence[SessionAssessment]
) -> Baseline:
    tasks = sorted({session.task for session in sessions})
    if len(tasks) > 1:
        raise BadBaseline(f"the normal sessions are of tasks {', '.join(map(repr, tasks))}, expected one; split them")
    suspect = [str(each.path) for each in found if each.suspect]
    if suspect:
        raise BadBaseline(
            f"gaze of {', '.join(suspect)} fits other moments as well as its own, so it is no normal gaze under this "
            "model; check the clocks and the tracker (`gaze-vlm bag check`), or leave it out"
        )
    pupils: dict[str, list[float]] = {}
    for session in sessions:
        if session.gaze is not None and math.isfinite(mm := pupil_baseline_mm(session.gaze)):
            pupils.setdefault(session.person, []).append(mm)
    return made_baseline(
        model_id, revision, tasks[0], [s.person for s in sessions], [s.name for s in sessions],
        [row for each in found for row in each.rows], {person: float(np.median(mm)) for person, mm in pupils.items()},
    )  # fmt: skip


def _figures(found: Sequence[SessionAssessment], model_id: str, baseline: Baseline | None) -> dict[str, Any]:
    """Return all figures as JSON knows them; NaN becomes null."""
    return {
        "model_id": model_id,
        "baseline": None if baseline is None else baseline.id,
        "rate_hz": RATE_HZ,
        "window_s": WINDOW_S,
        "stands_out_above": STANDS_OUT,
        "measures": MEASURES,
        "sessions": json_ready(
            [{**asdict(each), "path": str(each.path), "suspect": each.suspect} for each in found], digits=6
        ),
    }
