"""Drills: searches and label collections in processes of their own, which are killed, starved and lied to.

`python -m tests.drills` runs them and prints a table; `python -m tests.drills --help` has the options.
"""
