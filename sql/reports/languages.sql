-- languages: how many pairs there are of each language, how many have a picture, and how many pass the filter.
--
-- Grain: one row per language; NULL is the pairs whose language is not certain. The largest comes first.
--
--   pairs, share     of all pairs, 0 to 1
--   fetched          with a picture
--   kept, kept_share in the split of their language, and as a share of those with a similarity
--   characters       mean length of the texts
--
-- Plot: bars of pairs by language
-- Source: pairs, laion5b.
with
all_pairs as (
    select
        language,
        count(*) as pairs,
        count(*) filter (where status = 'success') as fetched,
        count(similarity) as scored,
        avg(length(text)) as characters
    from pairs
    group by language
),

in_split as (
    select
        language,
        count(*) as kept
    from laion5b
    group by language
)

select
    all_pairs.language,
    all_pairs.pairs,
    round(all_pairs.pairs / (select sum(every.pairs) from all_pairs as every), 4) as share,
    all_pairs.fetched,
    coalesce(in_split.kept, 0) as kept,
    round(coalesce(in_split.kept, 0) / nullif(all_pairs.scored, 0), 4) as kept_share,
    round(all_pairs.characters) as characters
from all_pairs
left join in_split
    on all_pairs.language is not distinct from in_split.language
order by all_pairs.pairs desc, all_pairs.language
