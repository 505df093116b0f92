"""Simulated devices, made from the same profiles that decode them."""
