-- deduplicated: pairs of all three splits, each picture once.
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- The active method is the first of [duplicates] methods in lake.toml; of a lake without one, all pairs are here.
-- Of those of a group that are in laion5b one stays: the one that the method keeps, where it is among them, else
-- the one with the smallest sample_id. A pair that came after the groups were made is in none.
-- Source: laion5b, duplicates, duplicate_methods.
with
repeated as (
    select laion5b.sample_id
    from laion5b
    inner join duplicates
        on laion5b.sample_id = duplicates.sample_id
    inner join duplicate_methods
        on duplicates.method = duplicate_methods.method and duplicate_methods.active
    qualify
        row_number() over (
            partition by duplicates.group_id
            order by duplicates.kept desc, laion5b.sample_id asc
        ) > 1
)

select laion5b.*
from laion5b
anti join repeated
    on laion5b.sample_id = repeated.sample_id
