"""Other programs' logs as traces and back. `hil/trace/convert.py` knows which is which."""
