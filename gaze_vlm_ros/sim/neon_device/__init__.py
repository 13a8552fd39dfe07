"""A local stand-in for the Neon Companion app: replays a native recording to the glasses' real client.

It speaks what `pupil-labs-realtime-api` asks a phone for: REST and websocket status, the calibration file, time echo,
and RTSP with RTP and RTCP over UDP or interleaved TCP; and, as `faults.py` lists, it misbehaves where it is told to.
It has no recording control, templates, eye video or audio, and no tunnel of RTSP through websockets.
"""
