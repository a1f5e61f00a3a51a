"""Attacks on everything that reads files which anybody may have written."""
