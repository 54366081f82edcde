-- score_histogram: how the values of each scorer are distributed.
--
-- Grain: one row per (scorer, bin) that has values; NULL is no bin. Bins of values from 0 to 1 or -1 to 1 are a
-- hundredth wide, bins of aesthetics a tenth.
--
--   low, high  the bin, low included, high not
--   rows
--   below      the share of the scorer's values under low, 0 to 1
--
-- Plot: histogram of rows by low for each scorer
-- Source: scores.
with
binned as (
    select
        scorer,
        case when scorer like 'aesthetic@_%' escape '@' then 10 else 100 end as per_one,
        floor(value::double * case when scorer like 'aesthetic@_%' escape '@' then 10 else 100 end)::bigint as bin,
        count(*) as rows
    from scores
    where isfinite(value)
    group by all
)

select
    scorer,
    bin / per_one as low,
    (bin + 1) / per_one as high,
    rows,
    round(
        (sum(rows) over (partition by scorer order by bin) - rows) / sum(rows) over (partition by scorer), 4
    ) as below
from binned
order by scorer, bin
