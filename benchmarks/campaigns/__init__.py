"""Campaigns of faults: see `benchmarks/faults.py`, which runs them."""
