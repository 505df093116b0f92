"""A board's ports, reached from another machine: the agent beside the board, the client beside the tests.

- the agent: `server.py` takes runners, `connection.py` is one, `wire.py` a port, `history.py` what it gave lately
- the client: `client.py`, over `link.py`, which dials by `dialling.py`
- both: `messages.py`, what they say to each other. Pure
"""
