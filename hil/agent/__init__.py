"""A board's ports, reached from another machine: the agent beside the board, the client beside the tests."""
