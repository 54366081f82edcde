-- newest_downloads: what became of each URL.
--
-- Grain: one row per URL that was ever asked for: its newest attempt.
-- Columns: those of downloads.
-- Source: downloads.
select *
from downloads
qualify row_number() over (partition by url_id order by attempt desc) = 1
