-- duplicate_groupings: must return no rows. A method puts a pair into one group, and a group keeps one member.
--
-- Grain: one row per (method, sample_id) that is there more than once, and per (method, group) that keeps
-- another number of its members than one; what says which. Where a removal took members out of a method's groups,
-- the one that a group keeps may be among them: the next run of the stage makes the groups anew.
-- Source: duplicates, withdrawn_counts.
select
    method,
    'member' as what,
    sample_id as id,
    count(*) as rows
from duplicates
group by method, sample_id
having count(*) > 1
union all
select
    method,
    'group' as what,
    group_id as id,
    count(*) filter (where kept) as rows
from duplicates
group by method, group_id
having
    count(*) filter (where kept) > 1
    or (
        count(*) filter (where kept) = 0
        and 'duplicates/' || method not in (select key from withdrawn_counts)
    )
