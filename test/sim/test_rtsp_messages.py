"""Requests and responses of the simulated RTSP server."""

import pytest

from gaze_vlm_ros.sim.neon_device.media_session import Stream
from gaze_vlm_ros.sim.neon_device.rtsp_messages import Request, describe, response


def test_a_request_has_its_method_address_and_headers() -> None:
    request = Request.parse("SETUP rtsp://h/?camera=gaze RTSP/1.0\r\nCSeq: 3\r\nTransport: RTP/AVP;unicast\r\n\r\n")
    assert (request.method, request.url) == ("SETUP", "rtsp://h/?camera=gaze")
    assert request.headers == {"cseq": "3", "transport": "RTP/AVP;unicast"}


@pytest.mark.parametrize("text", ["", "HELLO", "PLAY rtsp://h RTSP/2.0\r\n\r\n", "PLAY rtsp://h RTSP/1.0\r\nno colon"])
def test_what_is_no_request(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Request.parse(text)


def test_a_response_states_its_length_in_bytes() -> None:
    assert response("7", 404) == b"RTSP/1.0 404 Not Found\r\nCSeq: 7\r\nServer: gaze_vlm_ros simulated Neon\r\n\r\n"
    assert b"Content-Length: 3\r\n" in response("7", 200, body="\u00e9x")


def test_sound_is_a_second_medium_of_the_video() -> None:
    video = Stream("world", "video", "H264", format_parameters="packetization-mode=1")
    sound = Stream("audio", "audio", "mpeg4-generic", 16_000, 97)
    lines = describe(video, "1.2.3.4", sound).splitlines()
    assert "c=IN IP4 1.2.3.4" in lines
    assert lines[5:] == [
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "a=fmtp:96 packetization-mode=1",
        "a=control:streamid=0",
        "m=audio 0 RTP/AVP 97",
        "a=rtpmap:97 mpeg4-generic/16000",
        "a=control:streamid=1",
    ]
