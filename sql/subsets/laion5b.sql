-- laion5b: the three splits together: pairs whose picture was fetched and fits the text (LAION-5B).
--
-- Grain: one row per pair (sample_id). Columns: those of pairs.
-- A pair without a similarity stays out, as it does of each split.
-- Source: laion2b_en, laion2b_multi, laion1b_nolang.
select *
from laion2b_en
union all
select *
from laion2b_multi
union all
select *
from laion1b_nolang
