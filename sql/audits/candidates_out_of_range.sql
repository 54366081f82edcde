-- candidates_out_of_range: must return no rows. Candidates have a URL and a text, and a probability of their
-- language within 0 and 1 where they have a language.
--
-- Grain: one row per candidate that has not.
-- Source: candidates.
select
    sample_id,
    unit,
    batch
from candidates
where
    url = ''
    or text = ''
    or not coalesce(isfinite(language_probability), true)
    or language_probability < 0
    or language_probability > 1
    or position < 0
