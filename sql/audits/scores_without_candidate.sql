-- scores_without_candidate: must return no rows. What is scored is a candidate.
--
-- Grain: one row per score whose sample_id is none of the candidates'.
-- Source: scores, candidates.
select
    scores.sample_id,
    scores.scorer,
    scores.unit,
    scores.batch
from scores
anti join candidates
    on scores.sample_id = candidates.sample_id
