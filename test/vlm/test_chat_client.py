"""A server that misbehaves costs one typed error, a stated time and a stated number of bytes; secrets stay secret."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from chat_endpoint import ChatEndpoint, completion

from gaze_vlm_ros.vlm.chat_client import ChatServer, ServerFails, ServerRefuses, without_secrets

KEY = "sk-secret"


def server_at(url: str, key: str = "", timeout_s: float = 20.0) -> ChatServer:
    asking = SimpleNamespace(
        question="what?", max_tokens=9, temperature=0.0, timeout_s=timeout_s, attempts=1, backoff_s=0.0
    )
    return ChatServer(url, "m", key, asking)


@contextmanager
def raw_server(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A port at which `talk` answers one connection with any bytes, until the event."""
    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            with suppress(OSError):  # the client hung up
                talk(connection, ended)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    ended.set()
    listener.close()
    thread.join(20.0)


def drip_headers(connection: socket.socket, ended: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
    while not ended.wait(0.02):
        connection.sendall(b"a")


def drip_body(connection: socket.socket, ended: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not ended.wait(0.02):
        connection.sendall(b" ")


def flood(connection: socket.socket, ended: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not ended.is_set():
        connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")


@pytest.mark.parametrize("talk", [drip_headers, drip_body])
def test_a_reply_that_never_ends_ends_in_time(talk: Any) -> None:
    """Each read gets its byte long before a read's timeout; without a total one this test would not end."""
    no_answer = pytest.raises(ServerFails, match=r"at last: no answer within 0.5 s")
    with raw_server(talk) as url, closing(server_at(url, timeout_s=0.5)) as server, no_answer:
        server.ask([])


def test_a_reply_without_end_is_cut_off() -> None:
    too_long = pytest.raises(ServerFails, match="a reply of more than 4 MiB")
    with raw_server(flood) as url, closing(server_at(url)) as server, too_long:
        server.ask([])


def test_a_client_is_used_again_after_a_reply() -> None:
    endpoint = ChatEndpoint(lambda body, number: completion(f"answer {number}"))
    with endpoint, closing(server_at(endpoint.url)) as server:
        assert [server.ask([])["reply"] for _ in range(3)] == ["answer 1", "answer 2", "answer 3"]
        assert server._requests._idle.qsize() == 1


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nX: y", f"{KEY}é", f" {KEY}", f"{KEY}\0"])
def test_a_key_that_no_header_takes_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ServerRefuses, match="the API key has") as caught:
        server_at("http://127.0.0.1:1/v1", key)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["ftp://me:hush@host/v1", "http://me:hush@[::1/v1", "http://me:hush@host:99999/v1",
     "me:hush@host", "http://me:hush@/v1", "http://me:hush@host\n/v1"],
)  # fmt: skip
def test_a_bad_address_is_shown_without_its_password(url: str) -> None:
    with pytest.raises(ServerRefuses, match="expected http") as caught:
        server_at(url)
    assert "hush" not in str(caught.value)


def test_a_server_that_is_down_is_named_without_its_password() -> None:
    with closing(server_at("http://me:hush@127.0.0.1:1/v1")) as server, pytest.raises(ServerFails) as caught:
        server.ask([])
    assert "hush" not in str(caught.value)
    assert "http://127.0.0.1:1/v1" in str(caught.value)
    assert without_secrets("http://me:hush@host/v1?key=hush#hush") == "http://host/v1"


def test_the_key_goes_to_no_other_address() -> None:
    with ChatEndpoint(lambda body, number: completion("stolen")) as other:
        redirect = (307, {"Location": f"{other.url}/v1/chat/completions"}, b"")
        with ChatEndpoint(lambda body, number: redirect) as endpoint:
            with closing(server_at(endpoint.url, KEY)) as server, pytest.raises(ServerRefuses, match="HTTP 307"):
                server.ask([])
            assert endpoint.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert other.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"choices": [{"message": {"content": "\\ud800"}}]}',
        b'{"choices": [{"message": {"content": 1e999}}]}',
        b'{"choices": [{"message": {"content": NaN}}]}',
        b'{"choices": {"message": 1}}',
        b'{"choices": "text"}',
        b"\xff\xfe\0\0",
        b"",
        b"1" * 5000,
    ],
)
def test_json_that_is_no_completion_is_one_line(body: bytes) -> None:
    endpoint = ChatEndpoint(lambda _, number: (200, {}, body))
    with endpoint, closing(server_at(endpoint.url)) as server, pytest.raises(ServerFails) as caught:
        server.ask([])
    text = str(caught.value)
    text.encode()
    assert len(text.splitlines()) == 1
    assert len(text) < 600


def test_what_a_server_says_of_itself_is_kept_only_where_it_is_plain() -> None:
    said = completion("x") | {"model": ["a"] * 9, "usage": {"total_tokens": 7, "note": "n" * 9, "deep": [[]]}}
    with ChatEndpoint(lambda _, number: said) as endpoint, closing(server_at(endpoint.url)) as server:
        assert server.ask([]) == {"reply": "x", "usage": {"total_tokens": 7}}
    error = (400, {}, json.dumps({"error": {"message": "\ud800 bad\x1b[2J\nline" * 1000}}).encode())
    endpoint = ChatEndpoint(lambda _, number: error)
    with endpoint, closing(server_at(endpoint.url)) as server, pytest.raises(ServerRefuses) as caught:
        server.ask([])
    str(caught.value).encode()
    assert len(str(caught.value)) < 400
