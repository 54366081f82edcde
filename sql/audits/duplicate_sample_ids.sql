-- duplicate_sample_ids: must return no rows. A candidate is there once.
--
-- Grain: one row per sample_id that is there more than once, with the number of its rows.
-- Source: candidates.
select
    sample_id,
    count(*) as rows
from candidates
group by sample_id
having count(*) > 1
