-- laion2b_multi: pairs with a text in another language than English, whose picture was fetched and fits it (LAION2B-multi).
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- NULL similarity (no picture, not scored) stays out, and so would NaN, which sorts above everything.
-- Source: pairs; active_thresholds, rule similarity_multi. LAION-5B's split, Schuhmann et al. 2022.
select pairs.*
from pairs
cross join active_thresholds as threshold
where
    threshold.rule = 'similarity_multi'
    and pairs.language <> 'en'
    and isfinite(pairs.similarity)
    and case
        when threshold.value is not null then pairs.similarity >= threshold.value
        when pairs.similarity is not null then error(
            'no threshold similarity_multi is known for ' || threshold.scorer
            || ': say one with --set similarity_multi=VALUE, or under [thresholds] in lake.toml'
        )::boolean
    end
