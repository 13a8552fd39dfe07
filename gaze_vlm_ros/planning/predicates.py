"""Predictions as predicates of a symbolic planner (PDDL, as PlanSys2 reads it)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any


def predicate_of(candidate: Any, objects: Collection[str] = ()) -> str:
    """Return `(person_will_VERB OBJECT)` of an ActionCandidate; "" where its object is none of `objects`.

    objects: names that the planner's problem knows; empty = any. A candidate whose checkpoint gives no verb or no
    object becomes `(person_will TEXT)`, which has no object to know.
    """
    if not candidate.verb or not candidate.object_class:
        return f"(person_will {_name(candidate.text)})"
    name = _name(candidate.object_class)
    return f"(person_will_{_name(candidate.verb)} {name})" if not objects or name in objects else ""


def _name(text: str) -> str:
    """Return a name of PDDL: letters, digits, - and _, beginning with a letter."""
    name = re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_-")
    return name if name[:1].isalpha() else f"x_{name}"
