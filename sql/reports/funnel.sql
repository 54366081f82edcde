-- funnel: how many rows come into each stage, which are dropped and why, and how many are kept.
--
-- Grain: one row per (stage, outcome, reason), in the order of the data's way.
--
--   stage    candidates: image links; downloads: candidates' URLs; embeddings_MODEL,
--            scores/SCORER and duplicates/METHOD: pairs; subsets: pairs
--   outcome  in: rows that came in; dropped; no value: scored, but NULL; kept.
--            in = dropped + no value + kept
--   reason   why, and for subsets which
--   rows     how many
--   share    of the rows that came into the stage, 0 to 1
--
-- A URL that was tried again counts once, with its newest attempt's status.
-- What removals took out counts as dropped: withdrawn.
-- Of duplicates, what no other pair is like is kept, with the one of each group that stays.
-- Source: batches, counts, withdrawn_counts, newest_downloads, duplicates, pairs, active_thresholds.
with
first_tries as (
    select counts.*
    from counts
    inner join batches
        on counts.key = batches.key and counts.batch = batches.batch
    where len(list_filter(batches.units, lambda work: work like 'retry-%')) = 0
),

came_in as (
    select key as stage, 'in' as outcome, null as reason, sum(n) as rows
    from first_tries
    where name = 'in'
    group by key
),

taken as (
    select key as stage, sum(n) as rows
    from withdrawn_counts
    where case when key = 'downloads' then name = 'withdrawn_urls' else name = 'withdrawn' end
    group by key
),

dropped as (
    select stage, 'dropped' as outcome, reason, sum(rows) as rows
    from (
        select key as stage, substr(name, 6) as reason, n as rows
        from counts
        where name like 'drop:%' and not (key like 'duplicates/%' and name = 'drop:single')
        union all
        select stage, 'withdrawn' as reason, rows
        from taken
        union all
        select 'duplicates/' || method as stage, 'repeated' as reason, 1 as rows
        from duplicates
        where not kept
    )
    group by all
),

no_value as (
    select key as stage, 'no value' as outcome, substr(name, 6) as reason, sum(n) as rows
    from counts
    where
        key like 'scores/%'
        and name in ('note:no_embedding', 'note:no_text', 'note:not_published', 'note:not_finite', 'note:bad_picture')
    group by all
),

kept as (
    select
        batches.key as stage,
        'kept' as outcome,
        null as reason,
        sum(batches.rows) - coalesce(any_value(missing.rows), 0) - coalesce(any_value(taken.rows), 0) as rows
    from batches
    left join (select stage, sum(rows) as rows from no_value group by stage) as missing
        on batches.key = missing.stage
    left join taken
        on batches.key = taken.stage
    where batches.key <> 'downloads' and batches.key not like 'duplicates/%'
    group by batches.key
    union all
    select
        came_in.stage,
        'kept' as outcome,
        null as reason,
        any_value(came_in.rows) - coalesce(sum(dropped.rows), 0) as rows
    from came_in
    left join dropped
        on came_in.stage = dropped.stage
    where came_in.stage like 'duplicates/%'
    group by came_in.stage
),

fetched as (
    select
        'downloads' as stage,
        case when status = 'success' then 'kept' else 'dropped' end as outcome,
        case when status <> 'success' then status end as reason,
        count(*) as rows
    from newest_downloads
    group by all
),

splits as (
    select
        case
            when language = 'en' then 'laion2b_en'
            when language is null then 'laion1b_nolang'
            else 'laion2b_multi'
        end as split,
        similarity
    from pairs
),

judged as (
    select
        case
            when splits.similarity is null then 'no_similarity'
            when threshold.value is null then 'no_threshold'
            when splits.similarity < threshold.value then 'below_threshold'
            else splits.split
        end as reason
    from splits
    left join active_thresholds as threshold
        on threshold.rule = replace(replace(splits.split, 'laion2b', 'similarity'), 'laion1b', 'similarity')
),

subsets as (
    select
        'subsets' as stage,
        case when reason like 'laion%' then 'kept' else 'dropped' end as outcome,
        reason,
        count(*) as rows
    from judged
    group by all
    union all
    select 'subsets' as stage, 'in' as outcome, null as reason, count(*) as rows
    from pairs
    having count(*) > 0
),

facts as (
    from came_in
    union all
    from dropped
    union all
    from no_value
    union all
    from kept
    union all
    from fetched
    union all
    from subsets
)

select
    stage,
    outcome,
    reason,
    rows::bigint as rows,
    round(rows / max(rows) filter (where outcome = 'in') over (partition by stage), 4) as share
from facts
where stage not in ('images', 'stored_pairs')
order by
    list_position(['candidates', 'downloads', 'embeddings', 'scores', 'duplicates', 'subsets'], regexp_extract(stage, '^[a-z]+')),
    stage,
    list_position(['in', 'dropped', 'no value', 'kept'], outcome),
    rows desc,
    reason
