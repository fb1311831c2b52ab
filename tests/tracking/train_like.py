"""A process that records as training does.

Arguments: FOLDER SETTINGS FIRST STOP PAUSE_S END, where END is finish, fail or hang.
"""

import ast
import sys
import time
from pathlib import Path

from modules.tracking.tracker import Tracker

folder, settings, first, stop, pause_s, end = sys.argv[1:]
run = {"name": "like", "identity": folder.replace("/", "_"), "tags": {"git_commit": "0" * 40}}
tracker = Tracker(Path(folder), ast.literal_eval(settings), run)
plan = Path(folder).with_name("plan.yaml")
plan.write_text("seed: 0\n")
tracker.artifact(plan)
tracker.parameters({"trainer": {"max_epochs": 2}})
slowest_s = 0.0
for step in range(int(first), int(stop)):
    began = time.monotonic()
    tracker.metric("training/loss", 1 / (1 + step), step)
    if step % 50 == 49:
        tracker.flush()
        print("checkpoint", step, flush=True)
    slowest_s = max(slowest_s, time.monotonic() - began)
    time.sleep(float(pause_s))
print("slowest step", slowest_s)
if end == "hang":
    tracker.flush()
    print("hanging", flush=True)
    time.sleep(1000)
print(
    tracker.finish("FAILED" if end == "fail" else "FINISHED", "loss is NaN" if end == "fail" else ""),
    flush=True,
)
