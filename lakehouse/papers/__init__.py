"""A lake on paper: report (statistics), gallery (pictures around a threshold), card (what a dataset is).

Numbers come from the lake's own tables and ledger; no sentence says more than they do.
"""
