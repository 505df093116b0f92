"""Tidegate: an embedded-device gateway. Import the modules; this package imports nothing by itself."""
