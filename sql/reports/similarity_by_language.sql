-- similarity_by_language: how well pictures and texts fit, by language: whether one threshold serves them all.
--
-- Grain: one row per language that has pairs with a similarity; NULL is the pairs whose language is not certain.
-- The largest comes first.
--
--   scored                       pairs with a similarity
--   p5, p25, p50, p75, p95       its quantiles: so many hundredths of the pairs lie under it
--   threshold, kept_share        of the language's split, and the share at or over it, 0 to 1
--
-- Plot: bars of p50 by language
-- Source: pairs, active_thresholds.
with
by_rule as (
    select
        pairs.language,
        pairs.similarity,
        threshold.value as threshold
    from pairs
    left join active_thresholds as threshold
        on
            threshold.rule = case
                when pairs.language = 'en' then 'similarity_en'
                when pairs.language is null then 'similarity_nolang'
                else 'similarity_multi'
            end
    where isfinite(pairs.similarity)
)

select
    language,
    count(*) as scored,
    quantile_cont(similarity, 5 / 100) as p5,
    quantile_cont(similarity, 25 / 100) as p25,
    quantile_cont(similarity, 50 / 100) as p50,
    quantile_cont(similarity, 75 / 100) as p75,
    quantile_cont(similarity, 95 / 100) as p95,
    any_value(threshold) as threshold,
    round(count(*) filter (where similarity >= threshold) / count(*), 4) as kept_share
from by_rule
group by language
order by scored desc, language
