"""The pytest plugin `tidegate-hil`: the same tests on a simulated rig, in the kernel rig and on the bench.

pytest finds it by entry point. A run that uses none of its fixtures and options imports nothing but this package.
"""
