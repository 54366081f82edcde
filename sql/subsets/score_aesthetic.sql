-- score_aesthetic: each scored pair and how pleasing its picture is, as LAION published its score tables.
--
-- Grain: one row per pair (hash) that the active scorer of aesthetic has scored.
--
--   hash  sample_id, the key of LAION's score files, so that theirs can be joined or compared:
--         select * from score_aesthetic join read_parquet('theirs.parquet') as theirs using (hash)
--   aesthetic  NULL where it could not be computed
--
-- Source: scores, scorers. Laion2B-en-aesthetic-tags and its like: hash, aesthetic.
select
    scores.sample_id as hash,
    scores.value as aesthetic
from scores
inner join scorers
    on scores.scorer = scorers.scorer and scorers.active
where scorers.role = 'aesthetic'
