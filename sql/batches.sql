-- batches: the finished batches that this reader sees.
--
-- Grain: one row per (key, batch). A key is a table, or a partition of one: scores/similarity_b32.
--
--   key, batch, generation
--   units        the works it did: crawl files, or batches of its input such as candidates:7
--   selection    'all', or the view that the stage ran over
--   fingerprint  of the stage's rules
--   rows, bytes, files
--                what it stored
--   seconds      from claim to commit
--   counts       what became of the rows, per unit; one row per count: relation counts
--   whole, content
--                the sums of row hashes over all columns, and over the content columns
--   version      the table's native version that the batch made
--   owner, at    who finished it, when
--
-- Source: ledger, pins. Batches of other generations and unfinished ones: relation ledger.
select
    ledger.key,
    ledger.batch,
    ledger.generation,
    ledger.units,
    ledger.selection,
    ledger.fingerprint,
    ledger.rows,
    ledger.bytes,
    len(ledger.files) as files,
    ledger.seconds,
    ledger.counts,
    ledger.whole,
    ledger.content,
    ledger.version,
    ledger.owner,
    ledger.at
from ledger
inner join pins
    on ledger.key = pins.key and ledger.batch between pins.low and pins.high
where ledger.event = 'done'
