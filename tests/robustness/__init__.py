"""Attacks on everything that reads files which anybody may have written.

The suite runs some hundred variants. Thousands, with a table:

    python -m tests.robustness.campaign --annotations 1000 --results 300 --images 38
"""
