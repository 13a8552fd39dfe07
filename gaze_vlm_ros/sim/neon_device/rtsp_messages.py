"""RTSP 1.0 requests and responses (RFC 2326), and the session description (RFC 4566) that one of them carries."""

from __future__ import annotations

from dataclasses import dataclass

from gaze_vlm_ros.sim.neon_device.media_session import Stream

METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    501: "Not Implemented",
    503: "Service Unavailable",
}
SOUND_ID = 1  # in the control attribute of the sound beside the scene video


@dataclass(frozen=True)
class Request:
    """Head of an RTSP request; names of headers in lower case."""

    method: str
    url: str
    headers: dict[str, str]

    @staticmethod
    def parse(text: str) -> Request:
        """Read the head of a request. Raises ValueError when it is no RTSP 1.0 request."""
        first, *lines = text.strip().split("\r\n")
        method, url, version = first.split()
        if version != "RTSP/1.0":
            raise ValueError(f"version {version}")
        headers = dict(line.split(":", 1) for line in lines)
        return Request(method, url, {name.strip().lower(): value.strip() for name, value in headers.items()})


def response(sequence: str, code: int, headers: dict[str, str] | None = None, body: str = "") -> bytes:
    """Return the bytes of a response to the request with this CSeq."""
    fields = {"CSeq": sequence, "Server": "gaze_vlm_ros simulated Neon", **(headers or {})}
    if body:
        fields["Content-Length"] = str(len(body.encode()))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"RTSP/1.0 {code} {REASONS[code]}\r\n{head}\r\n{body}".encode()


def describe(stream: Stream, address: str, sound: Stream | None = None) -> str:
    """Return the SDP of one stream, and of the sound that comes with it."""
    lines = ["v=0", f"o=- 0 0 IN IP4 {address}", "s=Neon", f"c=IN IP4 {address}", "t=0 0"]
    for number, medium in ((0, stream), (SOUND_ID, sound)):
        if medium is not None:
            lines.append(f"m={medium.media} 0 RTP/AVP {medium.payload_type}")
            lines.append(f"a=rtpmap:{medium.payload_type} {medium.encoding}/{medium.clock_rate_hz}")
            if medium.format_parameters:
                lines.append(f"a=fmtp:{medium.payload_type} {medium.format_parameters}")
            lines.append(f"a=control:streamid={number}")
    return "\r\n".join([*lines, ""])
