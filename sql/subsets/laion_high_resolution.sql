-- laion_high_resolution: pairs of all three splits whose picture is large on both sides (laion-high-resolution).
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- NULL width or height (no picture) stays out.
-- Source: laion5b; active_thresholds, rule high_resolution. LAION-5B's announcement: width and height >= 1024.
select laion5b.*
from laion5b
cross join active_thresholds as threshold
where
    threshold.rule = 'high_resolution'
    and laion5b.width >= threshold.value
    and laion5b.height >= threshold.value
