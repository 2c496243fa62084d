"""A finished run in numbers, on a screen and on a page; nothing here is loaded while a session runs."""
