"""The HTTP API and the web page of one lake, for `lake serve`.

limits.py      every number that protects the server
predicates.py  a condition from outside, read and allowed word by word
sessions.py    where it runs: DuckDB without files, network, settings or much time
"""
