-- downloads_out_of_range: must return no rows. A success has a size, bytes and a sha256; attempts count from 1.
--
-- Grain: one row per attempt that has not, or of a picture without width or height.
-- Source: downloads.
select
    url_id,
    attempt,
    status,
    unit,
    batch
from downloads
where
    attempt < 1
    or width < 1
    or height < 1
    or bytes < 1
    or (status = 'success' and (width is null or height is null or bytes is null or sha256 is null))
