"""`make crash`: every state that a power cut, a lying or a failing medium can leave behind, and what the ledger says.

power.py     what a cut may leave of a storage: sectors, names; pure
toy.py       a naive log with faults to plant, against which the enumerator proves itself
subjects.py  the logs that can be put to the test
world.py     one history of one log, recorded operation by operation
oracle.py    what a log must answer after a cut; pure
judge.py     one state: recover, ask, go on, cut again, recover again
faults.py    the fault classes: the states of each, with ids
campaign.py  so many states of each class, in parallel, and the report
"""
