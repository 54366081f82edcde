-- unsafe: pairs whose picture is unsafe by the active scorer of punsafe.
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- NULL (no picture, not scored) is neither safe nor unsafe.
-- Source: pairs; active_thresholds, rule punsafe. LAION-5B's statistics and safe mode: punsafe > 0.5 is unsafe.
select pairs.*
from pairs
cross join active_thresholds as threshold
where
    threshold.rule = 'punsafe'
    and isfinite(pairs.punsafe)
    and pairs.punsafe > threshold.value
