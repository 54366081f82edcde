-- scores_out_of_range: must return no rows. Values are finite or NULL, cosines lie within -1 and 1,
-- probabilities within 0 and 1.
--
-- Grain: one row per score that is not.
-- The first word of a scorer's name is its role, so scorers that the settings no longer name count too.
-- Source: scores.
with
ranges (role, low, high) as (
    values
        ('similarity', -1, 1),
        ('punsafe', 0, 1),
        ('toxicity', 0, 1),
        ('pwatermark', 0, 1)
)

select
    scores.sample_id,
    scores.scorer,
    scores.value,
    scores.unit,
    scores.batch
from scores
left join ranges
    on split_part(scores.scorer, '_', 1) = ranges.role
where
    scores.value is not null
    and (
        not isfinite(scores.value)
        or scores.value < ranges.low
        or scores.value > ranges.high
    )
