"""`python -m controller.telemetry --fd N`: started by the feed, which holds the other end of N."""

from __future__ import annotations

import argparse
import sys

from controller.telemetry.process import serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m controller.telemetry")
    parser.add_argument("--fd", type=int, required=True, help="an inherited SOCK_SEQPACKET socket")
    return serve(parser.parse_args().fd)


if __name__ == "__main__":
    sys.exit(main())
