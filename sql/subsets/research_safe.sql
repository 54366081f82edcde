-- research_safe: the pairs of research whose picture does not look unsafe (Re-LAION-5B research-safe).
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- Source: research; active_thresholds, rule punsafe_research_safe. LAION, Releasing Re-LAION-5B, 2024:
-- punsafe > 0.45 is out.
select research.*
from research
cross join active_thresholds as threshold
where
    threshold.rule = 'punsafe_research_safe'
    and case
        when threshold.value is null then error(
            'no threshold punsafe_research_safe is known for ' || threshold.scorer
            || ': say one with --set punsafe_research_safe=VALUE, or under [thresholds] in lake.toml'
        )::boolean
        else research.punsafe <= threshold.value
    end
