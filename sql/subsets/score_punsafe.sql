-- score_punsafe: each scored pair and how likely its picture is unsafe, as LAION published its score tables.
--
-- Grain: one row per pair (hash) that the active scorer of punsafe has scored.
--
--   hash  sample_id, the key of LAION's score files, so that theirs can be joined or compared:
--         select * from score_punsafe join read_parquet('theirs.parquet') as theirs using (hash)
--   punsafe  NULL where it could not be computed
--
-- Source: scores, scorers. Laion2B-en-safety and its like: hash, punsafe.
select
    scores.sample_id as hash,
    scores.value as punsafe
from scores
inner join scorers
    on scores.scorer = scorers.scorer and scorers.active
where scorers.role = 'punsafe'
