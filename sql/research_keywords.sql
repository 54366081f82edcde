-- research_keywords: words that, in the text of a picture that looks unsafe, keep a pair out of research.
--
-- Grain: one row per word, in lower case; it counts wherever it stands in the text, within words too.
-- Source: this file. The list that Re-LAION-5B was made with is not published; these are the words of the
-- rule that LAION-5B's own crawlers had for such pictures (crawlingathome, gpu_inference.py).
select word
from (values ('teen'), ('kid'), ('child'), ('baby')) as words (word)
