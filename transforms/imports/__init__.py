"""What other tools have made already, as this house's rows: nothing is fetched or computed again.

`shards`: img2dataset's pictures; `vectors`: clip-retrieval's embeddings; `score_files`: LAION's scores.
"""
