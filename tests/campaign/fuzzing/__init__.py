"""Coverage-guided fuzzing of what reads bytes of others: frames, limits files, ledgers."""
