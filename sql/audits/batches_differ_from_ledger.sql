-- batches_differ_from_ledger: must return no rows. A table holds of each batch the rows that the
-- ledger says.
--
-- Grain: one row per (key, batch) of the tables that SQL reads whose numbers differ.
-- Source: batches, candidates, downloads, scores, duplicates.
with
stored as (
    select 'candidates' as key, batch, count(*) as rows from candidates group by all
    union all
    select 'downloads' as key, batch, count(*) as rows from downloads group by all
    union all
    select 'scores/' || scorer as key, batch, count(*) as rows from scores group by all
    union all
    select 'duplicates/' || method as key, batch, count(*) as rows from duplicates group by all
),

recorded as (
    select key, batch, rows
    from batches
    where
        key in ('candidates', 'downloads')
        or key like 'scores/%'
        or key like 'duplicates/%'
)

select
    coalesce(recorded.key, stored.key) as key,
    coalesce(recorded.batch, stored.batch) as batch,
    coalesce(recorded.rows, 0) as in_ledger,
    coalesce(stored.rows, 0) as in_table
from recorded
full join stored
    on recorded.key = stored.key and recorded.batch = stored.batch
where coalesce(recorded.rows, 0) <> coalesce(stored.rows, 0)
