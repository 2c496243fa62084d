"""The long proofs of the interlock as one resumable campaign: `python -m tests.campaign --help`.

Each proof is one file of `proofs/`. Their short forms run with the tests; the long ones are run by hand, a piece at a
time, and go on where they stopped. Results are kept in `kept/`, and their table in safety/README.md is made of them.
"""
