"""`python -m tests.campaign.fuzzing.process TARGET [OPTION ...]`: one run of libFuzzer, in a process of its own."""

from __future__ import annotations

import sys

import atheris

from tests.campaign.fuzzing.changing import CHANGES


def main() -> None:
    """Never returns: libFuzzer ends the process, with 0 where nothing was found."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["safety", "drivers"]):
        from tests.campaign.fuzzing.targets import TARGETS
    change = CHANGES.get(name)
    more = {}
    if change is not None:
        more["custom_mutator"] = lambda data, size_max, seed: change(data, size_max, seed, atheris.Mutate)
    atheris.Setup(sys.argv, TARGETS[name], **more)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
