-- hosts: where the pictures come from.
--
-- Grain: one row per host of pictures' URLs. The one with most pairs comes first.
--
--   pairs, share   of all pairs, 0 to 1
--   urls           different pictures
--   fetched        of those URLs, with a picture
--   fetched_share  of those that were asked for
--   kept           pairs that pass the filter of their language
--
-- Plot: bars of pairs by host
-- Source: pairs, laion5b.
with
all_pairs as (
    select
        host,
        count(*) as pairs,
        count(distinct url_id) as urls,
        count(distinct url_id) filter (where status is not null) as asked,
        count(distinct url_id) filter (where status = 'success') as fetched
    from pairs
    group by host
),

in_split as (
    select
        host,
        count(*) as kept
    from laion5b
    group by host
)

select
    all_pairs.host,
    all_pairs.pairs,
    round(all_pairs.pairs / (select sum(every.pairs) from all_pairs as every), 4) as share,
    all_pairs.urls,
    all_pairs.fetched,
    round(all_pairs.fetched / nullif(all_pairs.asked, 0), 4) as fetched_share,
    coalesce(in_split.kept, 0) as kept
from all_pairs
left join in_split
    on all_pairs.host is not distinct from in_split.host
order by all_pairs.pairs desc, all_pairs.host
