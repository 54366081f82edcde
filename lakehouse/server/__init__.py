"""The HTTP API and the web page of one lake, for `lake serve`.

limits.py        every number that protects the server
app.py           the application: routes, errors in words
service.py       what all routes share; the token
guard.py         around every request: size, pace, headers, counting (metrics.py)
knn.py api.py    clip-retrieval's wire format, and the page's API
versions.py      the lake as it is and at its releases, kept open
predicates.py    a condition from outside, read and allowed node by node
sessions.py      where it runs: DuckDB without files, network, settings or much time
conditions.py searching.py    what a visitor chose and what they search for
pictures.py provenance.py subsets.py removals.py
page/            HTML, CSS and JavaScript; nothing is built
"""
