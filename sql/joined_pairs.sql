-- joined_pairs: every candidate with what became of its picture and what its scorers say, joined anew
-- from the tables at each query. Relation pairs has the same rows, and mostly has them stored.
--
-- Grain: one row per pair of picture URL and text (sample_id).
--
--   sample_id, url, text, url_id, host, page_url, license, language, language_probability
--             the candidate
--   status, http_status, width, height, bytes, sha256, md5, phash, attempt
--             the newest attempt at its URL; NULL where there was none
--   similarity, punsafe, aesthetic, aesthetic_v1, aesthetic_v2, toxicity, pwatermark
--             the value of the active scorer of that role; NULL where it has none. The active
--             scorer is the first of its role in the lake's settings; others: relation scores
--   unit, batch
--             where the candidate comes from
--
-- Source: candidates, newest_downloads, scores, scorers.
with
pivoted as (
    select
        scores.sample_id,
        max(scores.value) filter (where scorers.role = 'similarity') as similarity,
        max(scores.value) filter (where scorers.role = 'punsafe') as punsafe,
        max(scores.value) filter (where scorers.role = 'aesthetic') as aesthetic,
        max(scores.value) filter (where scorers.role = 'aesthetic_v1') as aesthetic_v1,
        max(scores.value) filter (where scorers.role = 'aesthetic_v2') as aesthetic_v2,
        max(scores.value) filter (where scorers.role = 'toxicity') as toxicity,
        max(scores.value) filter (where scorers.role = 'pwatermark') as pwatermark
    from scores
    inner join scorers
        on scores.scorer = scorers.scorer and scorers.active
    group by scores.sample_id
)

select
    candidates.sample_id,
    candidates.url,
    candidates.text,
    candidates.url_id,
    candidates.host,
    candidates.page_url,
    candidates.license,
    candidates.language,
    candidates.language_probability,
    fetched.status,
    fetched.http_status,
    fetched.width,
    fetched.height,
    fetched.bytes,
    fetched.sha256,
    fetched.md5,
    fetched.phash,
    fetched.attempt,
    pivoted.similarity,
    pivoted.punsafe,
    pivoted.aesthetic,
    pivoted.aesthetic_v1,
    pivoted.aesthetic_v2,
    pivoted.toxicity,
    pivoted.pwatermark,
    candidates.unit,
    candidates.batch
from candidates
left join newest_downloads as fetched
    on candidates.url_id = fetched.url_id
left join pivoted
    on candidates.sample_id = pivoted.sample_id
