-- repeated_pictures: how often the same picture is there under different URLs, and what the methods grouped.
--
-- Grain: one row per way to tell: file (the same bytes), hash (the same perceptual hash), and each method of the
-- table duplicates, by its name with grouped: before it.
--
--   pictures   different URLs with a picture; for the methods, grouped pairs
--   groups     that have more than one
--   repeated   pictures that could go: all but one of each group
--   largest    size of the largest group
--
-- Plot: bars of repeated by way
-- Source: newest_downloads, duplicates.
with
groups as (
    select 'file' as way, sha256 as name, count(*) as members
    from newest_downloads
    where status = 'success' and sha256 is not null
    group by all
    union all
    select 'hash' as way, phash::varchar as name, count(*) as members
    from newest_downloads
    where status = 'success' and phash is not null
    group by all
    union all
    select 'grouped: ' || method as way, group_id::varchar as name, count(*) as members
    from duplicates
    group by all
)

select
    way,
    sum(members)::bigint as pictures,
    count(*) filter (where members > 1) as groups,
    (sum(members) - count(*))::bigint as repeated,
    max(members) as largest
from groups
group by way
order by way
