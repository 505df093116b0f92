"""Traces: what passed on every bus of a test, with times, errors, faults and notes, a line each."""
