-- duplicate_scores: must return no rows. A scorer gives a pair one value.
--
-- Grain: one row per (sample_id, scorer) that is there more than once, with the number of its rows.
-- Source: scores.
select
    sample_id,
    scorer,
    count(*) as rows
from scores
group by sample_id, scorer
having count(*) > 1
