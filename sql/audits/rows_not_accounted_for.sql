-- rows_not_accounted_for: must return no rows. Rows in = rows out + the sum of all reasons.
--
-- Grain: one row per (key, batch, unit) whose counts do not add up. The rows of payload tables
-- (pictures, vectors), which no SQL reads, are those of the ledger, per batch; their unit is NULL.
--
--   rows_in, dropped  the ledger's counts
--   rows_out          rows in the table, and those that removals took out of it
--
-- Source: counts, batches, withdrawn_counts, candidates, downloads, scores, duplicates,
-- stored_pairs.
with
held as (
    select 'candidates' as key, batch, unit, count(*) as rows from candidates group by all
    union all
    select 'downloads' as key, batch, unit, count(*) as rows from downloads group by all
    union all
    select 'scores/' || scorer as key, batch, unit, count(*) as rows from scores group by all
    union all
    select 'duplicates/' || method as key, batch, unit, count(*) as rows from duplicates group by all
    union all
    select 'stored_pairs' as key, batch, unit, count(*) as rows from stored_pairs group by all
    union all
    select key, batch, null as unit, rows from batches where key = 'images' or key like 'embeddings@_%' escape '@'
),

stored as (
    select key, batch, unit, sum(rows) as rows
    from (
        select key, batch, unit, rows from held
        union all
        select key, batch, unit, n as rows
        from withdrawn_counts
        where name = 'withdrawn' and key <> 'images' and key not like 'embeddings@_%' escape '@'
    )
    group by all
),

counted as (
    select
        key,
        batch,
        case when key = 'images' or key like 'embeddings@_%' escape '@' then null else unit end as unit,
        coalesce(sum(n) filter (where name = 'in'), 0) as rows_in,
        coalesce(sum(n) filter (where name like 'drop:%'), 0) as dropped
    from counts
    group by all
)

select
    coalesce(stored.key, counted.key) as key,
    coalesce(stored.batch, counted.batch) as batch,
    coalesce(stored.unit, counted.unit) as unit,
    coalesce(counted.rows_in, 0) as rows_in,
    coalesce(counted.dropped, 0) as dropped,
    coalesce(stored.rows, 0) as rows_out
from stored
full join counted
    on
        stored.key = counted.key
        and stored.batch = counted.batch
        and stored.unit is not distinct from counted.unit
where coalesce(counted.rows_in, 0) <> coalesce(counted.dropped, 0) + coalesce(stored.rows, 0)
