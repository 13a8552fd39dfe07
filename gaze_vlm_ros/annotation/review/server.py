"""`gaze-vlm label review`: a web server for this machine that shows one bag's labels and saves corrections."""

from __future__ import annotations

import asyncio
import base64
import getpass
import hashlib
import json
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web

from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.label_file import (
    Label,
    LabelFile,
    LabelsChanged,
    bag_identity,
    label_file_path,
    label_from,
    new_source,
    now_text,
    read_label_file,
    require_disjoint,
    write_label_file,
)
from gaze_vlm_ros.session.session import Session, load_session
from gaze_vlm_ros.session.stored_labels import labels_of_session
from gaze_vlm_ros.video.images import DamagedImage, UnknownEncoding, encode_jpeg
from gaze_vlm_ros.view.pictures import draw
from gaze_vlm_ros.view.scene import gaze_on_picture

HOST = "127.0.0.1"  # this machine only: bags show faces
MAX_BODY_BYTES = 8 << 20  # some ten thousand labels
_EDITED = ("start_ns", "end_ns", "text", "verb", "object_class")


class PortTaken(GazeVlmError):
    """The port cannot be used."""


class Review:
    """The labels of one bag under review. Times are exchanged with the page as ns after the first frame.

    Raises what load_session raises.
    """

    def __init__(self, bag: Path, reviewer: str, roles: Roles = AS_THE_BAG_SAYS) -> None:
        self.session: Session = load_session(bag, roles=roles)
        self.reviewer = reviewer
        self.path = label_file_path(bag)
        self.first_ns = int(self.session.frames.stamps_ns[0])
        gaze = self.session.gaze
        self._gaze = gaze_on_picture(gaze, self.session.frames.size) if gaze is not None else None

    def current(self) -> LabelFile:
        """Return the label file, or the bag's own labels as revision 0 if there is none. Raises BadLabelFile."""
        identity = bag_identity(self.session.metadata.get("session", ""), self.session.frames.stamps_ns)
        if self.path.exists():
            return read_label_file(self.path, identity)
        own = tuple(labels_of_session(self.session)) if self.session.labels is not None else ()
        return LabelFile(identity, own, {"bag": {"kind": "bag"}} if own else {})

    def state(self) -> dict[str, Any]:
        """Return the labels and all else that the page shows, as plain JSON values."""
        found = self.current()
        rows = []
        for label in found.labels:
            end = None if label.end_ns is None else label.end_ns - self.first_ns
            rows.append({
                "start_ns": label.start_ns - self.first_ns, "end_ns": end, "text": label.text, "verb": label.verb,
                "object_class": label.object_class, "source": label.source, "said": label.said,
                "reviewed_by": label.reviewed_by,
            })  # fmt: skip
        return {
            "name": self.session.name,
            "reviewer": self.reviewer,
            "revision": found.revision,
            "duration_ns": int(self.session.frames.stamps_ns[-1]) - self.first_ns,
            "frames_ns": (self.session.frames.stamps_ns - self.first_ns).tolist(),
            "labels": rows,
        }

    def save(self, body: Any) -> dict[str, Any]:
        """Save the labels that the page sent and return the new state.

        body: object with revision, reviewer and labels. Raises ValueError for anything else, LabelsChanged,
        LabelsNotWritable.
        """
        if not isinstance(body, dict) or not isinstance(body.get("labels"), list):
            raise ValueError("expected an object with revision, reviewer and labels")
        if type(body.get("revision")) is not int:
            raise ValueError(f"revision is {body.get('revision')!r}, expected a whole number")
        reviewer = body.get("reviewer")
        if not isinstance(reviewer, str) or not reviewer.strip() or len(reviewer) > 100:
            raise ValueError("reviewer is empty or longer than 100 characters; enter your name")
        found = self.current()
        if found.revision != body["revision"]:
            raise LabelsChanged(
                f"the labels are at revision {found.revision} and yours at {body['revision']}; reload the page"
            )
        sources = {key: dict(value) for key, value in found.sources.items()}
        known = {tuple(getattr(label, key) for key in _EDITED): label for label in found.labels}
        key = next((k for k, v in sources.items() if v.get("kind") == "review" and v.get("reviewer") == reviewer), "")
        key = key or new_source(sources, "review")
        labels = []
        for number, entry in enumerate(body["labels"], 1):
            labels.append(self._label(entry, f"label {number}", known, sources, key, reviewer))
        labels.sort(key=lambda label: label.start_ns)
        require_disjoint(labels)
        if any(label.source == key for label in labels):
            sources[key] = {"kind": "review", "reviewer": reviewer, "at": now_text()}
        write_label_file(self.path, replace(found, labels=tuple(labels), sources=sources))
        return self.state()

    def _label(
        self, entry: Any, which: str, known: dict[tuple[Any, ...], Label], sources: Any, key: str, reviewer: str
    ) -> Label:
        """Return an unchanged label as it was; mark one that was changed or accepted as reviewed."""
        if not isinstance(entry, dict):
            raise ValueError(f"{which} is {entry!r:.80}, expected an object")
        plain = {name: entry[name] for name in _EDITED if name in entry}
        for name in ("start_ns", "end_ns"):
            if type(plain.get(name)) is int:
                plain[name] += self.first_ns
        label = label_from(plain, which)
        label = replace(label, text=" ".join(label.text.split()))
        before = known.get(tuple(getattr(label, name) for name in _EDITED))
        if before is not None and not entry.get("accepted"):
            return before
        source = entry.get("source")
        source = source if isinstance(source, str) and source in sources else key
        kept = before if before is not None else replace(label, source=source)
        return replace(kept, reviewed_by=reviewer, reviewed_at=now_text())

    def jpeg(self, at_ns: int, width: int) -> bytes:
        """Return the frame nearest to `at_ns` after the first frame as JPEG, with gaze, at least `width` px wide.

        A frame that is narrower keeps its size. Raises DamagedImage, UnknownEncoding.
        """
        stamps_ns = self.session.frames.stamps_ns
        index = int(np.abs(stamps_ns - (self.first_ns + at_ns)).argmin())
        rgb = self.session.frames.rgb(index)
        stamp_ns = int(stamps_ns[index])
        gaze = self._gaze if rgb.shape[1::-1] == self.session.frames.size else None
        drawn = draw(rgb, gaze, stamp_ns, f"{(stamp_ns - self.first_ns) / 1e9:.3f} s")
        step = max(1, drawn.shape[1] // width)
        return encode_jpeg(np.ascontiguousarray(drawn[::step, ::step]), 80)


def make_app(review: Review, token: str) -> web.Application:
    """Return the web application: the page at /`token`/ and below it api/session, api/labels and frame.

    token: a secret, because every user of this machine can reach its ports.
    """
    page_text = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    guards = _guards(page_text)
    reading = ThreadPoolExecutor(1)  # in one thread: a bag has one reader

    async def in_thread(call: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(reading, call, *arguments)

    @web.middleware
    async def own_machine(request: web.Request, handler: Any) -> web.StreamResponse:
        # Refuse other sites: their names may resolve to this machine (DNS rebinding), and their pages may post to it.
        host = request.host.rpartition(":")[0] or request.host
        origin = request.headers.get("Origin", f"http://{request.host}")
        given = request.path.split("/")[1].encode()
        response: web.StreamResponse
        if host not in (HOST, "localhost") or origin != f"http://{request.host}":
            response = web.json_response({"error": "this page is served to this machine only"}, status=403)
        elif not secrets.compare_digest(given, token.encode()):
            response = web.json_response({"error": "open the address that the program printed"}, status=403)
        else:
            try:
                response = await handler(request)
            except GazeVlmError as error:
                status = 409 if isinstance(error, LabelsChanged) else 500
                response = web.json_response({"error": str(error)}, status=status)
            except web.HTTPException as error:
                response = web.json_response({"error": error.reason}, status=error.status)
        is_frame = request.path == f"/{token}/frame"
        response.headers.update(guards | {"Cache-Control": "private, max-age=3600" if is_frame else "no-store"})
        return response

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=page_text, content_type="text/html")

    async def session(_: web.Request) -> web.Response:
        return web.json_response(await in_thread(review.state))

    async def labels(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.json_response({"error": "expected application/json"}, status=415)
        try:
            body = json.loads(await request.read())
            return web.json_response(await in_thread(review.save, body))
        except (ValueError, RecursionError) as error:
            return web.json_response({"error": str(error)}, status=400)

    async def frame(request: web.Request) -> web.Response:
        try:
            at_ns, width = int(request.query["at_ns"]), int(request.query.get("width", "640"))
            if not 0 <= at_ns < 2**62 or not 16 <= width <= 4096:
                raise ValueError
        except (KeyError, ValueError):
            return web.json_response({"error": "expected at_ns, and a width of 16 to 4096 px"}, status=400)
        try:
            return web.Response(body=await in_thread(review.jpeg, at_ns, width), content_type="image/jpeg")
        except (DamagedImage, UnknownEncoding) as error:
            return web.json_response({"error": str(error)}, status=404)

    app = web.Application(middlewares=[own_machine], client_max_size=MAX_BODY_BYTES)
    app.add_routes([
        web.get(f"/{token}/", page), web.get(f"/{token}/api/session", session),
        web.put(f"/{token}/api/labels", labels), web.get(f"/{token}/frame", frame),
    ])  # fmt: skip
    return app


def _guards(page: str) -> dict[str, str]:
    """Headers by which a browser runs the page's own script only, shows it in no frame, and keeps its address."""
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "Content-Security-Policy": "default-src 'none'; img-src 'self'; connect-src 'self'; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def run_review(bag: Path, port: int, reviewer: str, roles: Roles = AS_THE_BAG_SAYS) -> int:
    """Serve the page until Ctrl-C. reviewer: "" = the login name. Raises PortTaken, and what load_session raises."""
    token = secrets.token_urlsafe(16)
    app = make_app(Review(bag, reviewer or getpass.getuser(), roles), token)

    async def serve() -> None:
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, HOST, port).start()
            except OSError as error:
                raise PortTaken(f"port {port} of {HOST}: {error.strerror}; give another --port") from None
            print(f"http://{HOST}:{runner.addresses[0][1]}/{token}/ shows {bag}; press Ctrl-C to stop", flush=True)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    asyncio.run(serve())
    return 0
