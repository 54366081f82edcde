-- datacomp_clip_score_l14_30_percent: DataComp's CLIP score filter: the best 30 % of pairs by the cosine of OpenAI's ViT-L/14.
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- The pool is the pairs with a finite cosine: NULL (no picture, not scored) is not in it. The threshold is the
-- cosine that the fraction's number of pairs, rounded down, lie at or over, counted from 0; ties are all kept.
-- Source: pairs, scores; active_thresholds, rule datacomp_clip_score. DataComp, apply_filter.py (get_threshold).
with
pool as (
    select
        sample_id,
        value
    from scores
    where scorer = 'similarity_l14' and isfinite(value)
),

place as (
    select least(floor(count(*) * any_value(fraction.value)), count(*) - 1)::bigint as below
    from pool
    cross join (
        select round(value::double, 6) as value
        from active_thresholds
        where rule = 'datacomp_clip_score'
    ) as fraction
),

threshold as (
    select value
    from pool
    order by value desc
    limit 1
    offset (select coalesce(max(below), 0) from place)
)

select pairs.*
from pairs
inner join pool
    on pairs.sample_id = pool.sample_id
cross join threshold
where pool.value >= threshold.value
