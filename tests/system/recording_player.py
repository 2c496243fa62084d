"""Plays a recording over LSL with mne-lsl, in an environment of its own: its liblsl must not meet ours.

Run by that environment's Python; imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import json
import sys

if __name__ == "__main__":
    from mne_lsl import set_log_level
    from mne_lsl.player import PlayerLSL

    set_log_level("ERROR")
    path, name, chunk_size = sys.argv[1:]
    with contextlib.redirect_stdout(sys.stderr):  # it talks while it reads a file
        # It stamps a chunk ahead, up to its last sample: more than 20 ms of that are a future that trips.
        player = PlayerLSL(path, chunk_size=int(chunk_size), name=name, source_id=f"{name}-player")
        player.start()
    print(json.dumps({"name": name, "sfreq_hz": player.info["sfreq"]}), flush=True)
    sys.stdin.read()
    player.stop()
