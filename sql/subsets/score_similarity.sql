-- score_similarity: each scored pair and how well picture and text fit, as LAION published its score tables.
--
-- Grain: one row per pair (hash) that the active scorer of similarity has scored.
--
--   hash  sample_id, the key of LAION's score files, so that theirs can be joined or compared:
--         select * from score_similarity join read_parquet('theirs.parquet') as theirs using (hash)
--   similarity  NULL where it could not be computed
--
-- Source: scores, scorers. The similarity of LAION's metadata: hash, similarity.
select
    scores.sample_id as hash,
    scores.value as similarity
from scores
inner join scorers
    on scores.scorer = scorers.scorer and scorers.active
where scorers.role = 'similarity'
