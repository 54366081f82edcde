-- active_thresholds: the thresholds in force in this lake.
--
-- Grain: one row per rule about pairs, or for whose role the lake has a scorer.
--
--   rule    as in thresholds
--   scorer  the active scorer of the rule's role; NULL for rules about the pair itself
--   value   what was asked for with --set, else what lake.toml says, else what thresholds has for
--           this scorer; NULL where none of them knows
--   source  where the value comes from
--
-- Source: thresholds; scorers; own_thresholds (lake.toml); asked_thresholds (--set).
with
rules as (
    select
        rule,
        regexp_extract(rule, '^(aesthetic_v[12]|[a-z]+)') as role,
        count(scorer) = 0 as of_pairs
    from thresholds
    group by rule
)

select
    rules.rule,
    scorers.scorer,
    coalesce(asked.value, own.value, thresholds.value) as value,
    case
        when asked.value is not null then '--set'
        when own.value is not null then 'lake.toml'
        else thresholds.source
    end as source
from rules
left join scorers
    on rules.role = scorers.role and scorers.active and not rules.of_pairs
left join thresholds
    on rules.rule = thresholds.rule and thresholds.scorer is not distinct from scorers.scorer
left join own_thresholds as own
    on rules.rule = own.rule
left join asked_thresholds as asked
    on rules.rule = asked.rule
where rules.of_pairs or scorers.scorer is not null
