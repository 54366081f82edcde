-- candidates_without_download: must return no rows. Where a batch of candidates was downloaded,
-- every URL in it was asked for: then, or before.
--
-- Grain: one row per candidate whose URL was not. Downloads over a view ask for some only, and are
-- left out.
-- Source: candidates, downloads, batches.
with
works as (
    select unnest(units) as work
    from batches
    where key = 'downloads' and selection = 'all'
),

finished as (
    select distinct try_cast(split_part(work, ':', 2) as bigint) as batch
    from works
    where work like 'candidates:%'
)

select
    candidates.sample_id,
    candidates.url_id,
    candidates.unit,
    candidates.batch
from candidates
semi join finished
    on candidates.batch = finished.batch
anti join downloads
    on candidates.url_id = downloads.url_id
