"""What reads bytes of others never falls and never hangs: frames, what is said to the interlock, limits files, ledgers; a
million inputs each, guided by coverage (atheris). What is found on the way is kept beside the results and gone on from.
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

from tests.campaign.proof import ROOT, Case, Outcome, Proof, Void

RUNS = 20_000  # of a trial
INPUT_S = 60  # of the clock, on a machine with others: one input that takes longer hangs
RUN_S = 240.0  # no input begins later
END_S = 2400.0  # whoever gets little of the processor begins late
LENGTH_MAX = {"frames": 2_000, "talk": 6_000, "limits": 12_000, "verifier": 24_000}
CORPUS = ROOT / ".campaign" / "fuzz"


def cases() -> list[Case]:
    """One a reader."""
    return [Case(name=name, short=0, long=1_000_000, unit="inputs", measure="edges") for name in LENGTH_MAX]


def run(case: str, seed: int) -> Outcome:
    """Some thousand inputs, from all that was found before."""
    try:
        import atheris  # noqa: F401
    except ImportError as error:
        raise Void("atheris is not installed: pip install atheris (Linux, x86-64)") from error
    home = CORPUS / case
    found, crashes = home / "corpus", home / f"crash-{seed}-"
    _begin(case, home)
    command = [
        sys.executable, "-m", "tests.campaign.fuzzing.process", case, str(found), f"-runs={RUNS}", f"-seed={seed + 1}",
        f"-max_len={LENGTH_MAX[case]}", f"-timeout={INPUT_S}", f"-artifact_prefix={crashes}", "-rss_limit_mb=2048",
        f"-dict={home / 'words'}", f"-max_total_time={round(RUN_S)}", "-print_final_stats=1",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=END_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:  # libFuzzer itself ends at an input that hangs
        raise Void(f"no end within {END_S:g} s: the machine was too busy") from error
    said = done.stdout + done.stderr
    if done.returncode != 0:
        inputs = [path.read_bytes() for path in home.glob(f"crash-{seed}-*")]
        text = " | ".join(
            line for line in said.splitlines() if "Error" in line or "Exception" in line or "ERROR" in line
        )
        return Outcome(
            "failed", f"{text[:700]}; input {base64.b64encode(b''.join(inputs[:1]))[:900].decode()}"
        )
    counted = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    edges = re.findall(r"cov: (\d+)", said)
    if counted is None or not edges:
        raise Void(f"no count of the inputs: {said[-300:]}")
    return Outcome(
        "held", "", {"n": int(counted[1]), "edges": int(edges[-1]), "corpus": len(list(found.iterdir()))}
    )


def _begin(case: str, home: Path) -> None:
    from tests.campaign.fuzzing.targets import seeds, words

    found = home / "corpus"
    if not (home / "words").exists():
        found.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(seeds(case)):
            (found / f"seed{number}").write_bytes(content)
        (home / "words").write_text("".join(f'"{word}"\n' for word in words(case)), encoding="ascii")


PROOF = Proof(
    name="fuzz",
    title=" ".join(__doc__.split("\n\n")[0].split()),
    cases=cases,
    run=run,
    timeout_s=END_S + 20.0,
)
