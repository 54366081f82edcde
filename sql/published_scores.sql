-- published_scores: what LAION's own tables say of the pairs that came from them.
--
-- Grain: one row per pair with at least one score that was published with it.
--
--   sample_id           the pair
--   similarity_laion, punsafe_laion, pwatermark_laion, aesthetic_v1_laion, aesthetic_v2_laion
--                       the columns similarity, punsafe, pwatermark, aesthetic and AESTHETIC_SCORE;
--                       NULL where the list had none
--   nsfw_laion          the column NSFW: UNLIKELY, UNSURE or NSFW (as a score 0, 1 and 2)
--   unit                the list and slice that the pair and its scores came from
--
-- Source: scores. In relation pairs they stand where they are the first of their role in lake.toml.
select
    sample_id,
    max(value) filter (where scorer = 'similarity_laion') as similarity_laion,
    max(value) filter (where scorer = 'punsafe_laion') as punsafe_laion,
    max(value) filter (where scorer = 'pwatermark_laion') as pwatermark_laion,
    max(value) filter (where scorer = 'aesthetic_v1_laion') as aesthetic_v1_laion,
    max(value) filter (where scorer = 'aesthetic_v2_laion') as aesthetic_v2_laion,
    case max(value) filter (where scorer = 'nsfw_laion')
        when 0 then 'UNLIKELY'
        when 1 then 'UNSURE'
        when 2 then 'NSFW'
    end as nsfw_laion,
    any_value(unit) as unit
from scores
where scorer like '%@_laion' escape '@'
group by sample_id
