-- laion_aesthetic_v2_6plus: pairs of laion2b_en at aesthetic score 6 or more, LAION-Aesthetics V2 (improved_aesthetics_6plus).
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- NULL (no picture, not scored) stays out, and so would NaN, which sorts above everything.
-- Source: laion2b_en; active_thresholds, rule aesthetic_v2_6plus. LAION-Aesthetics V2: aesthetic at or over the rule's value, English.
select laion2b_en.*
from laion2b_en
cross join active_thresholds as threshold
where
    threshold.rule = 'aesthetic_v2_6plus'
    and isfinite(laion2b_en.aesthetic_v2)
    and laion2b_en.aesthetic_v2 >= threshold.value
