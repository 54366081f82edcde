-- duplicates_without_candidate: must return no rows. What is grouped is a candidate.
--
-- Grain: one row per grouping whose sample_id is none of the candidates'.
-- Source: duplicates, candidates.
select
    duplicates.sample_id,
    duplicates.method,
    duplicates.unit,
    duplicates.batch
from duplicates
anti join candidates
    on duplicates.sample_id = candidates.sample_id
