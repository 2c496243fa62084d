"""Mutants of the decision core: one small change of one line, and whether any test of the core notices."""
