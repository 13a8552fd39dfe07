"""The glasses: their clock, RTP and H.264 streams, live client and native recordings. No ROS here."""
