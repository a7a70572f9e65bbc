"""Turn a knob of a worker and render a file over OSC; see README.md."""

from __future__ import annotations

import time

from pythonosc.udp_client import SimpleUDPClient

worker = SimpleUDPClient("127.0.0.1", 9000)
for step in range(101):
    worker.send_message("/lead/ts/drive", step / 100)
    time.sleep(0.02)
worker.send_message("/lead/room/bypass", 1)
worker.send_message("/render", ["in.wav", "out.wav", "lead"])  # both inside the --media folder
