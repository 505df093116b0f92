"""What recorded runs tell: one page for people, and a comparison of two runs with limits.

`results.py` reads a folder of `--hil-record`; `page.py` and `timeline.py` make the page, `figures.py` and
`compare.py` the comparison.
"""
