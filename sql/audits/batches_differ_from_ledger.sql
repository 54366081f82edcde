-- batches_differ_from_ledger: must return no rows. A table holds of each batch the rows that the
-- ledger says, less what removals took out.
--
-- Grain: one row per (key, batch) of the tables that SQL reads whose numbers differ.
-- Source: batches, withdrawn_counts, candidates, downloads, scores, duplicates,
-- stored_pairs.
with
stored as (
    select 'candidates' as key, batch, count(*) as rows from candidates group by all
    union all
    select 'downloads' as key, batch, count(*) as rows from downloads group by all
    union all
    select 'scores/' || scorer as key, batch, count(*) as rows from scores group by all
    union all
    select 'duplicates/' || method as key, batch, count(*) as rows from duplicates group by all
    union all
    select 'stored_pairs' as key, batch, count(*) as rows from stored_pairs group by all
),

gone as (
    select key, batch, sum(n) as rows
    from withdrawn_counts
    where name = 'withdrawn'
    group by all
),

recorded as (
    select
        batches.key,
        batches.batch,
        batches.rows - coalesce(gone.rows, 0) as rows
    from batches
    left join gone
        on batches.key = gone.key and batches.batch = gone.batch
    where
        batches.key in ('candidates', 'downloads', 'stored_pairs')
        or batches.key like 'scores/%'
        or batches.key like 'duplicates/%'
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
