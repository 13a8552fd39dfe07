"""Read a training bag without ROS: topics, one decoded message, and frames with their gaze and label.

python examples/read_a_bag.py bags/morning_1
"""

import sys

from gaze_vlm_ros import open_bag, open_session

with open_bag(sys.argv[1]) as bag:
    for name, topic in bag.topics.items():
        print(f"{name}: {topic.count} x {topic.type_name}")

session = open_session(sys.argv[1])
print(f"session {session.name}: {len(session.frames)} frames of {session.frames.size} px, person {session.person!r}")
print("first frame:", session.frames.rgb(0).shape, "at", session.frames.stamps_ns[0], "ns")
if session.gaze is not None:
    print("gaze samples:", len(session.gaze.stamps_ns), "first at", session.gaze.xy[0], "px")
if session.labels is not None:
    print("labels:", ", ".join(sorted(set(filter(None, session.labels.texts)))))
