"""HTTP requests that end in time and take bounded memory, whatever the server does.

A client library's timeouts are those of single reads: a server that sends a byte now and then holds it forever.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx2

MAX_REPLY_BYTES = 4 << 20  # a chat completion has some kB, with log-probabilities some 100 kB


class ReplyTooLong(Exception):
    """The server's reply is longer than MAX_REPLY_BYTES."""


class Reply(NamedTuple):
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BoundedRequests:
    """Sends requests, each within `timeout_s` from its beginning to its last byte. For several threads.

    Redirections are not followed: headers may hold a key, which belongs to the address that was given.
    """

    def __init__(self, headers: Mapping[str, str], timeout_s: float) -> None:
        self._headers = {"Accept-Encoding": "identity", **headers}  # a compressed reply may become a thousandfold
        self._timeout_s = timeout_s
        self._verify = httpx2.create_ssl_context()
        self._idle: queue.SimpleQueue[httpx2.Client] = queue.SimpleQueue()

    def post(self, url: str, body: Any) -> Reply:
        """Send `body` as JSON. Raises TimeoutError, ReplyTooLong, httpx2.TransportError and httpx2.InvalidURL."""
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = httpx2.Client(
                timeout=self._timeout_s, headers=self._headers, verify=self._verify, follow_redirects=False
            )
        done: queue.SimpleQueue[Reply | Exception] = queue.SimpleQueue()

        def work() -> None:
            try:
                done.put(_receive(client, url, body))
            except Exception as error:
                done.put(error)

        threading.Thread(target=work, name="request", daemon=True).start()
        try:
            found = done.get(timeout=self._timeout_s)
        except queue.Empty:
            client.close()  # its thread ends at its next read
            raise TimeoutError from None
        if isinstance(found, Exception):
            client.close()
            raise found
        self._idle.put(client)
        return found

    def close(self) -> None:
        """Close the connections."""
        while not self._idle.empty():
            self._idle.get().close()


def _receive(client: httpx2.Client, url: str, body: Any) -> Reply:
    parts, size = [], 0
    with client.stream("POST", url, json=body) as response:
        for part in response.iter_raw():
            parts.append(part)
            size += len(part)
            if size > MAX_REPLY_BYTES:
                raise ReplyTooLong
        return Reply(response.status_code, response.headers, b"".join(parts))
