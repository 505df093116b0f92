"""Layer 7: the gateway as an edge node of Eclipse Sparkplug B 3.0, over a connection of its own."""
