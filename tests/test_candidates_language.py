"""Languages are told as CLD3's authors published, in the way LAION asked, under codes of today."""

from __future__ import annotations

import dataclasses

import gcld3
import pytest
from crawl_units import RULES

from transforms.candidates import PRESETS
from transforms.candidates.language import identifier

# What CLD3's own test expects of ten texts in ten scripts: google/cld3 (Apache-2.0),
# src/nnet_lang_id_test.cc and src/nnet_lang_id_test_data.cc, with min_num_bytes=0 and max_num_bytes=1000
CLD3S_OWN = {
    "af": "Dit is 'n kort stukkie van die teks wat gebruik sal word vir die toets "
    "van die akkuraatheid van die nuwe benadering.",
    "ar": "احتيالية بيع أي حساب",
    "el": " ή αρνητική αναζήτηση λέξης κλειδιού καταστήστε τις μεμονωμένες λέξεις "
    "κλειδιά περισσότερο στοχοθετημένες με τη μετατροπή τους σε",
    "hi": " ं ऐडवर्ड्स विज्ञापनों के अनुभव पर आधारित हैं और इनकी मदद से आपको अपने विज्ञापनों का अधिकतम लाभ",
    "iw": " או לערוך את העדפות ההפצה אנא עקוב אחרי השלבים הבאים כנס לחשבון האישי שלך ב",
    "ja": " このペ ジでは アカウントに指定された予算の履歴を一覧にしています "
    "それぞれの項目には 予算額と特定期間のステ タスが表示されます 現在または今後の予算を設定するには",
    "ka": " ა ბირთვიდან მიღებული ელემენტი მენდელეევის პერიოდულ სიტემაში გადაინაცვლებს ორი უჯრით",
    "km": "នេះគឺជាបំណែកខ្លីនៃអត្ថបទដែលនឹងត្រូវបានប្រើសម្រាប់ការធ្វើតេស្តភាពត្រឹមត្រូវនៃវិធីសាស្រ្តថ្មីនេះ។",
    "ru": " а неправильный формат идентификатора дн назад",
    "zh": "产品的简报和公告 提交该申请后无法进行更改 请确认您的选择是正确的 "
    "对于要提交的图书 我确认 我是版权所有者或已得到版权所有者的授权 "
    "要更改您的国家 地区 请在此表的最上端更改您的",
}
ENGLISH = "This text is written in English."  # gcld3/tests/gcld3_test.py of the same repository


@pytest.mark.parametrize("language", CLD3S_OWN)
def test_the_packaged_model_answers_as_published(language: str) -> None:
    assert gcld3.NNetLanguageIdentifier(0, 1000).FindLanguage(CLD3S_OWN[language]).language == language


@pytest.mark.parametrize("language", CLD3S_OWN)
def test_our_way_of_asking_gives_the_same(language: str) -> None:
    found, probability = identifier(PRESETS["laion5b"])(CLD3S_OWN[language])
    assert found == language
    assert 0.7 < probability <= 1  # CLD3 calls an answer reliable from 0.7


def test_gcld3s_own_test() -> None:
    """gcld3_test.py: English with a probability over 0.9; of an empty text nothing, with probability 0."""
    found, probability = identifier(RULES)(ENGLISH)
    assert found == "en"
    assert probability > 0.9
    assert identifier(dataclasses.replace(RULES, language_min_bytes=10))("") == (None, 0.0)


def test_an_answer_that_is_not_reliable_is_no_language() -> None:
    # reference figure of the project: "IMG_2034.JPG" gives Afrikaans, not reliable
    result = gcld3.NNetLanguageIdentifier(5, 2000).FindLanguage("IMG_2034.JPG")
    assert (result.language, result.is_reliable) == ("af", False)
    found, probability = identifier(RULES)("IMG_2034.JPG")
    assert found is None
    assert probability == pytest.approx(result.probability)


# The first article of the Universal Declaration of Human Rights as it is romanised
ROMANISED = {
    "bg-Latn": "Vsichki hora se razhdat svobodni i ravni po dostoynstvo i prava.",
    "ru-Latn": "Vse lyudi rozhdayutsya svobodnymi i ravnymi v svoem dostoinstve i pravakh.",
    "el-Latn": "Oloi oi anthropoi gennioyntai eleytheroi kai isoi stin axioprepeia kai ta dikaiomata.",
    "ja-Latn": "Subete no ningen wa, umare nagara ni shite jiyuu de ari, katsu, songen to kenri to ni tsuite",
}


@pytest.mark.parametrize("code", ROMANISED)
def test_the_script_is_no_part_of_the_language(code: str) -> None:
    assert gcld3.NNetLanguageIdentifier(5, 2000).FindLanguage(ROMANISED[code]).language == code
    assert identifier(RULES)(ROMANISED[code])[0] == code.partition("-")[0]


def test_hebrew_has_the_code_of_today() -> None:
    """IANA's registry of language subtags: iw is deprecated since 1989 for he. LAION's tables have iw."""
    assert identifier(RULES)(CLD3S_OWN["iw"])[0] == "he"
    assert identifier(PRESETS["laion5b"])(CLD3S_OWN["iw"])[0] == "iw"


def test_norwegian_is_one_language() -> None:
    """CLD3 knows no, the macrolanguage of nb and nn, and LAION counted no: neither is guessed at."""
    bokmaal = "Alle mennesker er født frie og med samme menneskeverd og menneskerettigheter."
    assert identifier(RULES)(bokmaal)[0] == "no"
