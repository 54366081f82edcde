-- pairs: every candidate with what became of its picture and what its scorers say.
--
-- Grain: one row per pair of picture URL and text (sample_id). Columns: those of joined_pairs.
-- Where the table stored_pairs is up to date for a reader, it reads that in place of this text; an audit
-- compares the two.
-- Source: joined_pairs.
select *
from joined_pairs
