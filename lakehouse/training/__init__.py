"""Models trained on what a lake exports: CLIP by open_clip's own entry point, and a study of what filters do.

Needs the extra `train`. `clip` trains on webdataset shards, `evaluate` measures on held-out pictures.
"""
