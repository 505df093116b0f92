"""Layer 2: udev rules as text: read, checked, made. No file is opened and no device is looked at here."""
