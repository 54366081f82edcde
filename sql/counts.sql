-- counts: what became of every row that came in.
--
-- Grain: one row per (key, batch, unit, name).
--
--   key, batch  as in batches
--   unit        the piece of work that the rows came from
--   name        in: rows that came in; drop:REASON: rows that did not pass; note:WHAT: anything
--               else worth an account. in = rows out + the sum of all drop:*
--   n           how many
--
-- Source: batches.
select
    batches.key,
    batches.batch,
    counted.unit,
    counted.name,
    counted.n
from batches
cross join unnest(batches.counts) as counts_of (counted)
