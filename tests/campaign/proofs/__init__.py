"""One proof a file."""
