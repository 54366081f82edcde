-- stored_pairs_differ: must return no rows. Pairs are what the join gives, wherever they are read from.
--
-- Grain: one row per row of pairs that joined_pairs does not have (which = pairs), or the other way round.
-- Source: pairs, joined_pairs.
select
    'pairs' as which,
    sample_id
from (from pairs except all from joined_pairs)
union all
select
    'joined_pairs' as which,
    sample_id
from (from joined_pairs except all from pairs)
