"""Commands over crashes: a whole gateway between caller, ledger and wire, killed anywhere and started again.

doser.py      a device with setpoints of every kind, and how it disobeys
run.py        one run of a gateway on fake time, its ledger's thread in the test's hand
books.py      what caller, wire and ledger saw over all runs, held against each other
machine.py    what hypothesis plays with
histories.py what chance seldom plays, written down
rewrites.py   the gateway with one thing wrong: the machine must notice each
"""
