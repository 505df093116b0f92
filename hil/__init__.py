"""Hardware in the loop: simulated devices and the demo."""
