-- withdrawn: the pairs that removals took out, for deletion lists and diffs.
--
-- Grain: one row per (sample_id, batch): a pair that two generations held is there for each.
--
--   sample_id, url_id  of the pair; its URL and text are kept nowhere
--   batch              of candidates, that it was in
--   removal            the removal that took it out: a batch of removals
--   reason, at         why, and when it was asked for
--
-- Every reader sees all of them, those of a release too: removals take out of releases as well.
-- Source: removals.
select
    removals.hash as sample_id,
    removals.url_id,
    removals.pair_batch as batch,
    removals.batch as removal,
    removals.reason,
    removals.at
from removals
where removals.kind = 'pair'
