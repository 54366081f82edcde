-- datacomp_basic: DataComp's basic filter: English, more than two words, and a picture neither small nor long.
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- Words are what Python's str.split() makes, characters are code points. NULL width or height (no picture) stays
-- out. The language is CLD3's, where it is reliable; DataComp's is fastText's.
-- Source: pairs; active_thresholds, rules datacomp_basic_*. DataComp, apply_filter.py (basic_filter): words > 2,
-- characters > 5, shorter side >= 200, longer side at most 3 times the shorter.
with
limits as (
    select
        any_value(value) filter (where rule = 'datacomp_basic_words') as words,
        any_value(value) filter (where rule = 'datacomp_basic_characters') as characters,
        any_value(value) filter (where rule = 'datacomp_basic_side') as side,
        any_value(value) filter (where rule = 'datacomp_basic_aspect') as aspect
    from active_thresholds
)

select pairs.*
from pairs
cross join limits
where
    pairs.language = 'en'
    and length(pairs.text) > limits.characters
    and least(pairs.width, pairs.height) >= limits.side
    and greatest(pairs.width, pairs.height) / least(pairs.width, pairs.height) <= limits.aspect
    and len(regexp_extract_all(pairs.text, '[^\t-\r\x1c-\x20\x{85}\pZ]+')) > limits.words
