"""An LSL sender that shares no code with us: eight channels of something like EEG, as an amplifier's own program sends.

Run as a process: it says a line of JSON when its outlet is up, and ends with its standard input. Blocks of five samples
go out as they are due; liblsl stamps them.
"""

from __future__ import annotations

import argparse
import json
import select
import sys
import time

import numpy as np
import pylsl

LABELS = ("Fz", "F3", "F4", "C3", "Cz", "C4", "Pz", "Oz")
SAMPLES = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--sfreq", type=float, default=250.0)
    parser.add_argument("--type", default="EEG")
    parser.add_argument("--unit", default="microvolts")
    parser.add_argument("--labels", default=",".join(LABELS))
    options = parser.parse_args()
    labels = options.labels.split(",") if options.labels else []
    info = pylsl.StreamInfo(options.name, options.type, len(LABELS), options.sfreq, "float32", "")
    channels = info.desc().append_child("channels")
    for label in labels:
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        if options.unit:
            channel.append_child_value("unit", options.unit)
    outlet = pylsl.StreamOutlet(info)
    print(json.dumps({"uid": outlet.get_info().uid()}), flush=True)
    generator = np.random.default_rng(1)
    start_s = time.monotonic()
    made = 0
    drift = np.zeros(len(LABELS))
    while not select.select([sys.stdin], [], [], 0)[0]:
        made += SAMPLES
        time.sleep(max(0.0, start_s + made / options.sfreq - time.monotonic()))
        at_s = (made - np.arange(SAMPLES)[::-1]) / options.sfreq
        drift = 0.9 * drift + generator.normal(0.0, 4.0, len(LABELS))
        alpha = 10.0 * np.sin(2.0 * np.pi * 10.0 * at_s)[:, None]
        theta = 6.0 * np.sin(2.0 * np.pi * 6.0 * at_s)[:, None]
        noise = generator.normal(0.0, 5.0, (SAMPLES, len(LABELS)))
        gains = np.linspace(0.5, 1.5, len(LABELS))
        outlet.push_chunk(
            np.ascontiguousarray(alpha * gains + theta * gains[::-1] + noise + drift, np.float32)
        )


if __name__ == "__main__":
    main()
