-- batch_gaps: must return no rows. The batches that a reader sees follow one another, each once and
-- all of one generation.
--
-- Grain: one row per (key, batch) that the ledger does not have as finished exactly once, or that is
-- of another generation than the newest batch of its key.
-- Source: pins, batches.
with
expected as (
    select
        key,
        unnest(generate_series(low, high)) as batch
    from pins
),

newest as (
    select
        key,
        arg_max(generation, batch) as generation
    from batches
    group by key
),

found as (
    select
        batches.key,
        batches.batch,
        count(*) as times,
        bool_and(batches.generation = newest.generation) as same_generation
    from batches
    inner join newest
        on batches.key = newest.key
    group by batches.key, batches.batch
)

select
    expected.key,
    expected.batch,
    coalesce(found.times, 0) as times,
    found.same_generation
from expected
left join found
    on expected.key = found.key and expected.batch = found.batch
where coalesce(found.times, 0) <> 1 or not found.same_generation
