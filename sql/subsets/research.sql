-- research: LAION-5B's pairs without those whose picture looks unsafe and whose text has a keyword (Re-LAION-5B research).
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- A pair whose picture nobody judged (NULL punsafe) stays out. What lists of hashes name is no matter of a
-- view: `lake remove --hash-list` takes it out of the lake, and so of every release.
-- Source: laion2b_en, laion2b_multi, laion1b_nolang; research_keywords; active_thresholds, rule
-- punsafe_research. LAION, Releasing Re-LAION-5B, 2024: punsafe > 0.95 with keywords is out.
with
laion as (
    select * from laion2b_en
    union all
    select * from laion2b_multi
    union all
    select * from laion1b_nolang
)

select laion.*
from laion
cross join active_thresholds as threshold
where
    threshold.rule = 'punsafe_research'
    and isfinite(laion.punsafe)
    and case
        when threshold.value is null then error(
            'no threshold punsafe_research is known for ' || threshold.scorer
            || ': say one with --set punsafe_research=VALUE, or under [thresholds] in lake.toml'
        )::boolean
        when laion.punsafe <= threshold.value then true
        else not exists (
            select 1
            from research_keywords
            where contains(lower(laion.text), research_keywords.word)
        )
    end
