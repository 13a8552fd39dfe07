"""A real HTTP server on this machine that answers as an OpenAI-compatible one does, or misbehaves on request."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np


def colour_of(body: dict[str, Any]) -> str:
    """What the last picture of a request shows: the colour of a disc on grey."""
    uri = body["messages"][0]["content"][-1]["image_url"]["url"]
    assert uri.startswith("data:image/jpeg;base64,")
    data = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    blue, _, red = cv2.imdecode(data, cv2.IMREAD_COLOR).reshape(-1, 3).astype(int).T
    return "red" if np.count_nonzero(red - blue > 80) > np.count_nonzero(blue - red > 80) else "blue"


def completion(text: str | None, **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, **choice.pop("message", {})}
    return {"model": "served-1", "usage": {"total_tokens": 7},
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}]}  # fmt: skip


class ChatEndpoint:
    """reply: from a request's body to what comes back: JSON, (status, headers, bytes), or "close" for a hang-up."""

    def __init__(self, reply: Callable[[dict[str, Any], int], Any], pause_s: float = 0.0) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        lock, owner = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    owner.requests.append(body)
                    owner.headers.append(dict(self.headers) | {"path": self.path})
                    number = len(owner.requests)
                time.sleep(pause_s)
                said = reply(body, number)
                if said == "close":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                status, headers, data = said if isinstance(said, tuple) else (200, {}, json.dumps(said).encode())
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> ChatEndpoint:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
