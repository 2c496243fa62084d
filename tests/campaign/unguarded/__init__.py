"""Tests of tests: the safety tests must fail when one guard of the deciding code is removed."""
