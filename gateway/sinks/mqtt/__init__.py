"""Layer 7: MQTT 3.1.1: values out, commands and queries in. paho knows the protocol; our own loop does everything."""
