"""Plugins, one kind of link each; found by entry point group `gateway.drivers`."""
