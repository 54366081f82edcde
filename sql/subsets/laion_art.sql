-- laion_art: pleasing, safe pairs of all three splits without a watermark, LAION-Aesthetics V1 > 8 (laion-art).
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- NULL stays out, in each of the three scores: as in LAION's own join, a pair that one of them does not know is
-- not in. So the view is empty in a lake that has no scorer of role pwatermark.
-- Source: laion5b; active_thresholds, rules aesthetic_v1_8plus, punsafe, pwatermark. LAION-Aesthetics V1:
-- punsafe < 0.5 and pwatermark < 0.8 and aesthetic > 8.
select laion5b.*
from laion5b
cross join active_thresholds as pleasing
cross join active_thresholds as unsafe
cross join active_thresholds as marked
where
    pleasing.rule = 'aesthetic_v1_8plus'
    and unsafe.rule = 'punsafe'
    and marked.rule = 'pwatermark'
    and isfinite(laion5b.aesthetic_v1)
    and laion5b.aesthetic_v1 > pleasing.value
    and isfinite(laion5b.punsafe)
    and laion5b.punsafe < unsafe.value
    and isfinite(laion5b.pwatermark)
    and laion5b.pwatermark < marked.value
