-- safety: how many pairs with a picture are at or above each threshold that guards.
--
-- Grain: one row per rule for punsafe, pwatermark or toxicity that the lake has a scorer for.
--
--   rule, scorer, threshold   as in active_thresholds
--   known                     pairs with a fetched picture and a value of the scorer
--   above                     those at or above the threshold; NULL where none is known for the scorer
--   share                     of the known, 0 to 1
--
-- Plot: bars of share by rule
-- Source: pairs, active_thresholds.
with
scored as (
    select unnest([
        {'role': 'punsafe', 'score': punsafe},
        {'role': 'pwatermark', 'score': pwatermark},
        {'role': 'toxicity', 'score': toxicity}
    ]) as measured
    from pairs
    where status = 'success'
)

select
    rules.rule,
    rules.scorer,
    rules.value as threshold,
    count(measured.score) as known,
    case
        when rules.value is not null
            then count(*) filter (where isfinite(measured.score) and measured.score >= rules.value)
    end as above,
    round(above / nullif(known, 0), 4) as share
from active_thresholds as rules
inner join scored
    on split_part(rules.rule, '_', 1) = measured.role
group by rules.rule, rules.scorer, rules.value
order by rules.rule
