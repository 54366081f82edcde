-- score_pwatermark: each scored pair and how likely its picture has a watermark, as LAION published its score tables.
--
-- Grain: one row per pair (hash) that the active scorer of pwatermark has scored.
--
--   hash  sample_id, the key of LAION's score files, so that theirs can be joined or compared:
--         select * from score_pwatermark join read_parquet('theirs.parquet') as theirs using (hash)
--   pwatermark  NULL where it could not be computed
--
-- Source: scores, scorers. Laion5B-watermark-safety: hash, pwatermark.
select
    scores.sample_id as hash,
    scores.value as pwatermark
from scores
inner join scorers
    on scores.scorer = scorers.scorer and scorers.active
where scorers.role = 'pwatermark'
