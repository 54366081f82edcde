-- score_toxicity: each scored pair and how likely its text is offensive, as LAION published its score tables.
--
-- Grain: one row per pair (hash) that the active scorer of toxicity has scored.
--
--   hash  sample_id, the key of LAION's score files, so that theirs can be joined or compared:
--         select * from score_toxicity join read_parquet('theirs.parquet') as theirs using (hash)
--   toxicity  NULL where it could not be computed
--
-- Source: scores, scorers. Of LAION-SAFETY's kind: hash, toxicity.
select
    scores.sample_id as hash,
    scores.value as toxicity
from scores
inner join scorers
    on scores.scorer = scorers.scorer and scorers.active
where scorers.role = 'toxicity'
