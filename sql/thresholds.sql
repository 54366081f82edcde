-- thresholds: every number that decides about a subset, each with its source.
--
-- Grain: one row per (rule, scorer). A threshold belongs to the scorer it was found for: another
-- model's values are distributed otherwise. What is in force in this lake: active_thresholds.
--
--   rule    what is decided; it begins with the role of the scorers that it is for
--   scorer  the scorer whose values are compared; NULL for rules about the pair itself
--   value   REAL, as scores are, so that a score equal to the threshold compares as equal
--   source  where the number comes from, and how it is compared
--
-- Source: this file.
select
    rule,
    scorer,
    value::real as value,
    source
from (
    values
        -- pairs whose picture and text fit: similarity >= value
        ('similarity_en', 'similarity_b32', 0.28, 'LAION-5B (Schuhmann et al. 2022): cosine of OpenAI ViT-B/32 >= 0.28, found by human inspection'),
        ('similarity_multi', 'similarity_b32', 0.26, 'LAION-5B: >= 0.26, where the text tower was clip-ViT-B-32-multilingual-v1 (mCLIP); OpenAI''s own tower scores texts that are not English lower'),
        ('similarity_nolang', 'similarity_b32', 0.26, 'LAION-5B: >= 0.26, where the text tower was clip-ViT-B-32-multilingual-v1 (mCLIP); OpenAI''s own tower scores texts that are not English lower'),
        ('similarity_en', 'similarity_laion', 0.28, 'LAION-5B: >= 0.28, on these very values'),
        ('similarity_multi', 'similarity_laion', 0.26, 'LAION-5B: >= 0.26, on these very values (mCLIP''s)'),
        ('similarity_nolang', 'similarity_laion', 0.26, 'LAION-5B: >= 0.26, on these very values (mCLIP''s)'),
        ('similarity_en', 'similarity_demo', 0.46, 'docs/benchmarks.md: right and wrong captions under the demo''s model'),
        ('similarity_multi', 'similarity_demo', 0.46, 'docs/benchmarks.md: right and wrong captions under the demo''s model'),
        ('similarity_nolang', 'similarity_demo', 0.46, 'docs/benchmarks.md: right and wrong captions under the demo''s model'),
        -- unsafe pictures: punsafe > value
        ('punsafe', 'punsafe_b32', 0.5, 'LAION-5B: statistics and safe mode call punsafe > 0.5 unsafe'),
        ('punsafe', 'punsafe_l14', 0.5, 'LAION-5B: statistics and safe mode call punsafe > 0.5 unsafe'),
        ('punsafe', 'punsafe_laion', 0.5, 'LAION-5B: statistics and safe mode call punsafe > 0.5 unsafe'),
        ('punsafe', 'punsafe_opennsfw', 0.8, 'README of yahoo/open_nsfw: > 0.8 is NSFW with high probability, < 0.2 is safe with high probability'),
        -- pictures with a watermark: pwatermark > value
        ('pwatermark', 'pwatermark_laion', 0.8, 'LAION-5B: statistics call pwatermark > 0.8 watermarked'),
        ('pwatermark', 'pwatermark_small', 0.8, 'LAION''s number; what it means for this detector: docs/benchmarks.md, Watermarks'),
        -- Re-LAION-5B: punsafe > value, with a keyword in the text, is out of research; alone, of research_safe
        ('punsafe_research', 'punsafe_l14', 0.95, 'LAION, Releasing Re-LAION-5B (2024): > 0.95'),
        ('punsafe_research', 'punsafe_b32', 0.95, 'LAION, Releasing Re-LAION-5B (2024): > 0.95; found for L/14, whose values the B/32 head approximates'),
        ('punsafe_research_safe', 'punsafe_l14', 0.45, 'LAION, Releasing Re-LAION-5B (2024): > 0.45'),
        ('punsafe_research_safe', 'punsafe_b32', 0.45, 'LAION, Releasing Re-LAION-5B (2024): > 0.45; found for L/14, whose values the B/32 head approximates'),
        -- offensive texts: toxicity >= value
        ('toxicity', 'toxicity_profanity_check', 0.5, 'alt-profanity-check: its predict() calls a text offensive from a probability of 0.5'),
        -- DataComp's filters: similarity >= value
        ('datacomp_laion2b', null, 0.28, 'DataComp, baselines/apply_filter.py: laion, clip_b32_similarity_score >= 0.28'),
        ('datacomp_clip_score', null, 0.3, 'DataComp, baselines: clip_score_*_30_percent, the fraction of the pool that is kept'),
        -- DataComp's basic filter: words and characters > value, shorter side >= value, longer / shorter <= value
        ('datacomp_basic_words', null, 2, 'DataComp, baselines/apply_filter.py: basic_filter, len(text.split()) > 2'),
        ('datacomp_basic_characters', null, 5, 'DataComp, baselines/apply_filter.py: basic_filter, len(text) > 5'),
        ('datacomp_basic_side', null, 200, 'DataComp, baselines/apply_filter.py: basic_filter, min(width, height) >= 200 pixels'),
        ('datacomp_basic_aspect', null, 3, 'DataComp, baselines/apply_filter.py: basic_filter, max / min side <= 3.0'),
        -- large pictures: width and height >= value, in pixels
        ('high_resolution', null, 1024, 'LAION-5B: laion-high-resolution, width and height >= 1024'),
        -- pleasing pictures
        ('aesthetic_v1_7plus', 'aesthetic_v1_b32', 7, 'LAION-Aesthetics V1: > 7 is laion-aesthetic; found for L/14, whose values the B/32 head approximates'),
        ('aesthetic_v1_8plus', 'aesthetic_v1_b32', 8, 'LAION-Aesthetics V1: > 8 is laion-art; found for L/14, whose values the B/32 head approximates'),
        ('aesthetic_v1_7plus', 'aesthetic_v1_l14', 7, 'LAION-Aesthetics V1: > 7 is laion-aesthetic'),
        ('aesthetic_v1_8plus', 'aesthetic_v1_l14', 8, 'LAION-Aesthetics V1: > 8 is laion-art'),
        ('aesthetic_v1_7plus', 'aesthetic_v1_laion', 7, 'LAION-Aesthetics V1: > 7 is laion-aesthetic'),
        ('aesthetic_v1_8plus', 'aesthetic_v1_laion', 8, 'LAION-Aesthetics V1: > 8 is laion-art'),
        ('aesthetic_v2_4.5plus', 'aesthetic_v2_l14', 4.5, 'LAION-Aesthetics V2: >= 4.5'),
        ('aesthetic_v2_4.75plus', 'aesthetic_v2_l14', 4.75, 'LAION-Aesthetics V2: >= 4.75'),
        ('aesthetic_v2_5plus', 'aesthetic_v2_l14', 5, 'LAION-Aesthetics V2: >= 5, what Stable Diffusion v1 was trained on'),
        ('aesthetic_v2_6plus', 'aesthetic_v2_l14', 6, 'LAION-Aesthetics V2: >= 6'),
        ('aesthetic_v2_6.25plus', 'aesthetic_v2_l14', 6.25, 'LAION-Aesthetics V2: >= 6.25'),
        ('aesthetic_v2_6.5plus', 'aesthetic_v2_l14', 6.5, 'LAION-Aesthetics V2: >= 6.5'),
        ('aesthetic_v2_4.5plus', 'aesthetic_v2_laion', 4.5, 'LAION-Aesthetics V2: >= 4.5'),
        ('aesthetic_v2_4.75plus', 'aesthetic_v2_laion', 4.75, 'LAION-Aesthetics V2: >= 4.75'),
        ('aesthetic_v2_5plus', 'aesthetic_v2_laion', 5, 'LAION-Aesthetics V2: >= 5, what Stable Diffusion v1 was trained on'),
        ('aesthetic_v2_6plus', 'aesthetic_v2_laion', 6, 'LAION-Aesthetics V2: >= 6'),
        ('aesthetic_v2_6.25plus', 'aesthetic_v2_laion', 6.25, 'LAION-Aesthetics V2: >= 6.25'),
        ('aesthetic_v2_6.5plus', 'aesthetic_v2_laion', 6.5, 'LAION-Aesthetics V2: >= 6.5')
) as numbers (rule, scorer, value, source)
