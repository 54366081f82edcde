-- datacomp_laion2b: DataComp's reproduction of LAION-2B's rule: English, and a ViT-B/32 cosine at the threshold or over it.
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- NULL (no picture, not scored) stays out, and so would NaN, which sorts above everything. DataComp takes CLD3's
-- language where it is not reliable too; here it is NULL then.
-- Source: pairs, scores; active_thresholds, rule datacomp_laion2b. DataComp, baselines (laion): clip_b32 >= 0.28.
select pairs.*
from pairs
inner join scores
    on pairs.sample_id = scores.sample_id and scores.scorer = 'similarity_b32'
cross join active_thresholds as threshold
where
    threshold.rule = 'datacomp_laion2b'
    and pairs.language = 'en'
    and isfinite(scores.value)
    and scores.value >= threshold.value
