-- active_thresholds: the thresholds in force in this lake.
--
-- Grain: one row per rule for whose role the lake has a scorer.
--
--   rule    as in thresholds
--   scorer  the active scorer of the rule's role
--   value   what was asked for with --set, else what lake.toml says, else what thresholds has for
--           this scorer; NULL where none of them knows
--   source  where the value comes from
--
-- Source: thresholds; scorers; own_thresholds (lake.toml); asked_thresholds (--set).
with
rules as (
    select distinct
        rule,
        split_part(rule, '_', 1) as role
    from thresholds
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
inner join scorers
    on rules.role = scorers.role and scorers.active
left join thresholds
    on rules.rule = thresholds.rule and scorers.scorer = thresholds.scorer
left join own_thresholds as own
    on rules.rule = own.rule
left join asked_thresholds as asked
    on rules.rule = asked.rule
