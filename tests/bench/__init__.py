"""Benches: they measure and print, and assert no time. ``python -m tests.bench``; see README.md."""
