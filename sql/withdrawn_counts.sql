-- withdrawn_counts: how many rows removals took out of the batches that this reader sees.
--
-- Grain: one row per (key, batch, unit, name).
--
--   key, batch, unit  as in counts
--   name              withdrawn: rows; withdrawn_urls: of downloads, those of first attempts
--   n                 how many
--
-- Source: ledger, pins.
select
    ledger.key,
    ledger.batch,
    counted.unit,
    counted.name,
    sum(counted.n)::bigint as n
from ledger
inner join pins
    on ledger.key = pins.key and ledger.batch between pins.low and pins.high
cross join unnest(ledger.counts) as counts_of (counted)
where ledger.event = 'withdraw'
group by all
