"""Assessments of sessions as lines of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gaze_vlm_ros.assessment.sessions import STANDS_OUT, SessionAssessment

HEAD = ("session", "person", "windows", "surprise", "saliency", "odd", "needs help", "on objects", "looked first", "")


def table(found: Sequence[SessionAssessment]) -> str:
    """Return one line a session; `odd` and `needs help`: share of its windows that stand out."""
    rows = [HEAD, *(table_row(each) for each in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def table_row(each: SessionAssessment) -> tuple[str, ...]:
    """Return the texts of one session, as HEAD names them."""
    known = [row for row in each.rows if math.isfinite(row["surprise"])]
    leads = [action.looked_first_s for action in each.actions]
    first = [lead for lead in leads if math.isfinite(lead)]
    return (
        each.name,
        each.person or "-",
        str(len(known)),
        mean_text([row["surprise"] for row in known]),
        mean_text([row["saliency"] for row in known]),
        share_above([standing.odd for standing in each.standings]),
        share_above([standing.needs_help for standing in each.standings]),
        f"{100 * each.time_on_objects:.0f} %" if math.isfinite(each.time_on_objects) else "-",
        f"{len(first)} of {len(leads)}" + (f", {np.median(first):.2f} s" if first else "") if leads else "-",
        ", ".join(filter(None, [each.abstains, "suspect: gaze fits other moments as well" if each.suspect else ""])),
    )


def mean_text(values: Sequence[float]) -> str:
    """Return the mean of the values that are known, "-" without any."""
    known = [value for value in values if math.isfinite(value)]
    return f"{np.mean(known):.2f}" if known else "-"


def share_above(values: Sequence[float]) -> str:
    """Return the share of known percentiles that stand out, "-" without any."""
    known = [value for value in values if math.isfinite(value)]
    return f"{100 * np.mean(np.array(known) > STANDS_OUT):.0f} %" if known else "-"
