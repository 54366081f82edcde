-- duplicate_attempts: must return no rows. Each attempt at a URL is there once.
--
-- Grain: one row per (url_id, attempt) that is there more than once, with the number of its rows.
-- Source: downloads.
select
    url_id,
    attempt,
    count(*) as rows
from downloads
group by url_id, attempt
having count(*) > 1
