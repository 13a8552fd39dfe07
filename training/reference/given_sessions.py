"""The clock and the ceiling on given sessions: what a model's figures on the same sessions stand beside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.stream_scores import score_stream
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.storage.settings_file import settings_from_values
from training.reference.models import MODELS
from training.reference.observer import CEILINGS, ceiling
from training.reference.rules import RULES, fit_rule
from training.reference.seen import Question, Seen, Table, believed, see, stream_rows

# The head takes as long as all else together, and on bench 2 it adds little: docs/bench.md
CLOCK, CEILING = "clock", "ceiling: hand and sign"


class BadSessions(GazeVlmError):
    """A file of sessions cannot be used."""


def read_sessions(path: Path) -> tuple[list[BenchSettings], dict[str, list[BenchSettings]]]:
    """Return (training sessions, scene -> held-out sessions) of a JSON file. Raises BadSessions.

    {"training": [settings, ...], "held_out": {scene: [settings, ...]}}, each as the fields of BenchSettings.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        training, held_out = content["training"], dict(content["held_out"])
    except OSError as error:
        raise BadSessions(f"no sessions from {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadSessions(
            f'{path}: {" ".join(str(error).split())}; expected {{"training": [...], "held_out": {{scene: [...]}}}}'
        ) from None

    def settings_of(values: Sequence[Mapping[str, Any]]) -> list[BenchSettings]:
        return [settings_from_values(BenchSettings, own, str(path), error=BadSessions) for own in values]

    return settings_of(training), {scene: settings_of(own) for scene, own in held_out.items()}


def reference_scores(
    training: Sequence[BenchSettings],
    held_out: Mapping[str, Sequence[BenchSettings]],
    question: Question,
    particles: int = 450,
    rules: Sequence[str] = (CLOCK,),
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return scene -> name of a rule, or "ceiling" -> scores of the stream; "all" where there are several scenes.

    rules: names in RULES; they are fitted on the training sessions. The ceiling sees hand and sign, and no gaze.
    """
    to_fit = [see(own) for own in training]
    fitted = {name: fit_rule(RULES[name], to_fit, question) for name in rules}
    seen = {scene: [see(own) for own in sessions] for scene, sessions in held_out.items()}
    tables: dict[str, dict[str, list[Table]]] = {
        scene: {
            **{
                name: [rule.answer(own, stream_rows(own, question)) for own in sessions]
                for name, rule in fitted.items()
            },
            "ceiling": [
                ceiling(
                    own, stream_rows(own, question), CEILINGS[CEILING], MODELS[own.settings.bench], question, particles
                )
                for own in sessions
            ],
        }
        for scene, sessions in seen.items()
    }
    if len(seen) > 1:
        together: list[Seen] = [own for sessions in seen.values() for own in sessions]
        tables["all"] = {
            name: [table for scene in seen for table in tables[scene][name]] for name in (*fitted, "ceiling")
        }
        seen["all"] = together
    return {
        scene: {name: score_stream(believed(seen[scene], own, question)) for name, own in of_scene.items()}
        for scene, of_scene in tables.items()
    }
