"""The review page's server over HTTP: what is saved, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from aiohttp.test_utils import TestClient, TestServer

from gaze_vlm_ros.annotation.review.server import Review, make_app
from gaze_vlm_ros.session.session import load_session, require_labels

TOKEN = "secret"


def ask(bag: Path, *requests: tuple[str, str, dict[str, Any]]) -> list[tuple[int, Any]]:
    """(status, JSON or bytes) of each request, in turn, to a server of its own."""

    async def run() -> list[tuple[int, Any]]:
        answers = []
        async with TestClient(TestServer(make_app(Review(bag, "ada"), TOKEN), host="127.0.0.1")) as client:
            for method, path, options in requests:
                async with client.request(method, f"/{TOKEN}{path}", **options) as response:
                    data = await response.read()
                    answers.append((response.status, json.loads(data) if "json" in response.content_type else data))
        return answers

    return asyncio.run(run())


def put(revision: int, labels: Any, reviewer: str = "ada") -> tuple[str, str, dict[str, Any]]:
    return "PUT", "/api/labels", {"json": {"revision": revision, "reviewer": reviewer, "labels": labels}}


def test_corrections_are_saved_with_the_reviewers_name(labelled: Path) -> None:
    ((_, state),) = ask(labelled, ("GET", "/api/session", {}))
    labels = state["labels"]
    assert (state["revision"], len(labels), state["reviewer"]) == (0, 8, "ada")
    labels[0]["text"] = "wave"
    labels[1]["accepted"] = True
    del labels[7]
    ((status, saved),) = ask(labelled, put(0, labels))
    assert (status, saved["revision"]) == (200, 1)
    assert require_labels(load_session(labelled)).texts[0] == "wave"
    file = load_session(labelled).label_file
    assert file
    assert [label.reviewed_by for label in file.labels] == ["ada", "ada", "", "", "", "", ""]
    assert file.labels[2].source == "bag"


def test_who_saves_second_is_refused_and_nothing_is_lost(bare: Path) -> None:
    one = [{"start_ns": 0, "end_ns": 10**9, "text": "pour"}]
    two = [{"start_ns": 0, "end_ns": 10**9, "text": "stir"}]
    answers = ask(bare, put(0, one), put(0, two, "bob"), put(1, two, "bob"))
    assert [status for status, _ in answers] == [200, 409, 200]
    file = load_session(bare).label_file
    assert file
    assert [(label.text, label.reviewed_by) for label in file.labels] == [("stir", "bob")]


def test_bad_input_is_refused_in_words_and_changes_nothing(bare: Path) -> None:
    overlapping = [{"start_ns": 0, "end_ns": 5, "text": "a"}, {"start_ns": 3, "end_ns": 9, "text": "b"}]
    plain = {"Content-Type": "text/plain"}
    typed = {"Content-Type": "application/json"}
    answers = ask(
        bare,
        put(0, overlapping), put(0, [{"start_ns": 5, "end_ns": 5, "text": "a"}]), put(0, [{"start_ns": 0}]),
        put(0, [7]), put(0, "x"), put(0, [], reviewer=" "),
        ("PUT", "/api/labels", {"data": b"{", "headers": typed}),
        ("PUT", "/api/labels", {"data": b"[" * 100_000, "headers": typed}),
        ("PUT", "/api/labels", {"data": b"{}", "headers": plain}),
        ("PUT", "/api/labels", {"data": b"x" * (9 << 20), "headers": typed}),
        ("PUT", "/api/labels", {"json": {}, "headers": {"Origin": "http://evil.example"}}),
        ("GET", "/api/session", {"headers": {"Host": "evil.example"}}),
        ("GET", "/frame", {}), ("GET", "/frame?at_ns=-1", {}), ("GET", "/frame?at_ns=0&width=99999", {}),
        ("GET", "/..%2f..%2fetc/passwd", {}), ("GET", "/frame/../../labels.json", {}),
    )  # fmt: skip
    assert [status for status, _ in answers] == [400] * 8 + [415, 413, 403, 403, 400, 400, 400, 404, 403]
    assert "overlap" in answers[0][1]["error"]
    assert not (bare / "labels.json").exists()


def test_frames_and_page(bare: Path) -> None:
    (page, (status, data)) = ask(bare, ("GET", "/", {}), ("GET", "/frame?at_ns=1000000000", {}))
    assert page[0] == 200
    assert b"<title>Labels</title>" in page[1]
    assert status == 200
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 96
    assert picture.shape[0] > 64  # with the line of text below


def test_the_page_is_for_who_has_its_address_and_in_no_frame_of_others(bare: Path) -> None:
    """Each user of this machine can reach the port, and each page of a browser can try."""

    async def run() -> list[tuple[int, Any, bytes]]:
        found = []
        async with TestClient(TestServer(make_app(Review(bare, "ada"), TOKEN), host="127.0.0.1")) as client:
            for path in ("/", "/frame?at_ns=0", "/api/session", "/secre/frame?at_ns=0", f"/{TOKEN}/", f"/{TOKEN}/no"):
                async with client.get(path) as response:
                    found.append((response.status, response.headers, await response.read()))
        return found

    answers = asyncio.run(run())
    assert [status for status, _, _ in answers] == [403, 403, 403, 403, 200, 404]
    for _, headers, _ in answers:
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
    page = answers[4][2].decode()
    script = page.partition("<script>")[2].partition("</script>")[0]
    assert (
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in answers[4][1]["Content-Security-Policy"]
    )
    assert not re.search(r"""["'`]/""", script)  # all it asks for is below its own address
