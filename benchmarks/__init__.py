"""Benchmarks: what reading costs, beside the limit of the network and other packages.

``python3 run.py bench`` measures and writes one Markdown report. Each module holds one idea::

    objects   what the endpoint holds, in memory
    endpoint  a server with chosen latency, bandwidth and error rate, which counts requests itself
    solution  the code of notebook 03, taken from its cells
    ways      the works and the ways to do them: the limit, this package, its peers
    worker    a process of its own in which one way runs, with a time-out
    table     the targets, and whether they are met
    growth    how cost grows with planes, chunks and latency
    machine   versions, processor and memory, without names
    report    one Markdown file with tables and plots
"""
