"""Devices that are simulated from what the gateway knows of them: their profiles. Pure; buses attach them."""
