-- link_rot: what became of the URLs of each host, at first and when last asked, and how old that is.
--
-- Grain: one row per (host, age, status).
--
--   host       host name of the URL
--   age        whole weeks from a URL's first attempt to its newest: 0 for one that was asked in one week only
--   status     of the newest attempt: a DownloadStatus
--   urls       how many
--   share      of the host's URLs of that age, 0 to 1
--   was_there  of them, those of which some attempt before the newest succeeded: links that are gone are those
--              with another status than success
--
-- Largest hosts first. Status by age alone: `select age, status, sum(urls) from link_rot group by all`.
-- Source: downloads.
with
attempts as (
    select
        host,
        status,
        attempt,
        date_diff('day', min(fetched_at) over url, fetched_at) // 7 as age,
        coalesce(bool_or(status = 'success') over before, false) as succeeded_before,
        row_number() over (partition by url_id order by attempt desc) = 1 as is_newest
    from downloads
    window
        url as (partition by url_id),
        before as (partition by url_id order by attempt rows between unbounded preceding and 1 preceding)
)

select
    host,
    age,
    status,
    count(*) as urls,
    round(count(*) / sum(count(*)) over (partition by host, age), 4) as share,
    count(*) filter (where succeeded_before) as was_there
from attempts
where is_newest
group by host, age, status
order by sum(urls) over (partition by host) desc, host, age, urls desc, status
