-- size_histogram: how large the pictures are: by the shorter side, the classes double.
--
-- Grain: one row per class that has pictures, the smallest first. A picture counts once, however many captions
-- it has.
--
--   low, high    shorter side in pixels, low included, high not
--   pictures
--   at_least     the share of pictures whose shorter side is low or more, 0 to 1
--
-- Plot: columns of pictures by low
-- Source: newest_downloads.
with
classes as (
    select
        floor(log2(least(width, height)))::integer as class,
        count(*) as pictures
    from newest_downloads
    where status = 'success' and width > 0 and height > 0
    group by class
)

select
    pow(2, class)::bigint as low,
    pow(2, class + 1)::bigint as high,
    pictures,
    round(
        sum(pictures) over (order by class desc) / (select sum(every.pictures) from classes as every), 4
    ) as at_least
from classes
order by low
