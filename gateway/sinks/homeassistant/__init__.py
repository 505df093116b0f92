"""Layer 7: a device as Home Assistant wants to be told of it. Pure but for `announcer`, which says it over MQTT."""
