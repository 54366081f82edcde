"""Short sentences in twelve languages, each with a place for a name.

CLDR's emoji names are bare nouns: too short for CLD3 and often for the 5-character rule. Set in one of
these sentences they read like the captions of real pages. The name stands behind a colon, in quotes or at
the head, so that no language has to inflect it.
"""

from __future__ import annotations

SENTENCES: dict[str, tuple[str, ...]] = {
    "en": (
        "A small picture that shows the following: {}",
        "{} – a drawing for all your messages and letters",
        "Here you can see the emoji with this name: {}",
        "Download the picture “{}” for free",
        "New today in our shop, as a sticker: {}",
    ),
    "de": (
        "Ein kleines Bild, das Folgendes zeigt: {}",
        "{} – eine Zeichnung für alle deine Nachrichten und Briefe",
        "Hier sehen Sie das Emoji mit diesem Namen: {}",
        "Das Bild „{}“ kostenlos herunterladen",
        "Heute neu in unserem Laden, als Aufkleber: {}",
    ),
    "fr": (
        "Une petite image qui montre ceci : {}",
        "{} – un dessin pour tous vos messages et vos lettres",
        "Vous pouvez voir ici l’émoji qui porte ce nom : {}",
        "Téléchargez gratuitement l’image « {} »",
        "Nouveau aujourd’hui dans notre boutique, en autocollant : {}",
    ),
    "es": (
        "Una pequeña imagen que muestra lo siguiente: {}",
        "{} – un dibujo para todos tus mensajes y cartas",
        "Aquí se puede ver el emoji que lleva este nombre: {}",
        "Descarga gratis la imagen «{}»",
        "Hoy nuevo en nuestra tienda, como pegatina: {}",
    ),
    "it": (
        "Una piccola immagine che mostra quanto segue: {}",
        "{} – un disegno per tutti i tuoi messaggi e le tue lettere",
        "Qui potete vedere l’emoji che porta questo nome: {}",
        "Scarica gratuitamente l’immagine «{}»",
        "Oggi nuovo nel nostro negozio, come adesivo: {}",
    ),
    "pt": (
        "Uma pequena imagem que mostra o seguinte: {}",
        "{} – um desenho para todas as suas mensagens e cartas",
        "Aqui você pode ver o emoji que tem este nome: {}",
        "Baixe a imagem “{}” gratuitamente",
        "Hoje novo em nossa loja, como adesivo: {}",
    ),
    "nl": (
        "Een kleine afbeelding die het volgende laat zien: {}",
        "{} – een tekening voor al je berichten en brieven",
        "Hier ziet u de emoji met deze naam: {}",
        "Download de afbeelding ‘{}’ helemaal gratis",
        "Vandaag nieuw in onze winkel, als sticker: {}",
    ),
    "pl": (
        "Mały obrazek, który przedstawia: {}",
        "{} – rysunek do wszystkich twoich wiadomości i listów",
        "Tutaj można zobaczyć emoji o tej nazwie: {}",
        "Pobierz bezpłatnie obrazek „{}”",
        "Dzisiaj nowość w naszym sklepie, jako naklejka: {}",
    ),
    "ru": (
        "Маленькая картинка, на которой изображено: {}",
        "{} – рисунок для всех ваших сообщений и писем",
        "Здесь вы видите эмодзи с таким названием: {}",
        "Скачайте картинку «{}» бесплатно",
        "Сегодня новинка в нашем магазине, наклейка: {}",
    ),
    "tr": (
        "Şunu gösteren küçük bir resim: {}",
        "{} – bütün mesajlarınız ve mektuplarınız için bir çizim",
        "Burada bu isimdeki emojiyi görebilirsiniz: {}",
        "“{}” resmini ücretsiz olarak indirin",
        "Bugün mağazamızda yeni, çıkartma olarak: {}",
    ),
    "ja": (
        "次のものを表した小さな画像です：{}",
        "{} – メッセージや手紙に使えるイラストです",
        "この名前の絵文字をここで見ることができます：{}",
        "「{}」の画像を無料でダウンロードできます",
        "今日、私たちのお店に新しいステッカーが入りました：{}",
    ),
    "zh": (
        "这是一张小图片，上面画的是：{}",
        "{} – 可以用在您的短信和书信里的图画",
        "在这里您可以看到这个名字的表情符号：{}",
        "免费下载“{}”的图片",
        "我们商店今天的新品，贴纸：{}",
    ),
}
"""Language code as CLD3 gives it -> sentences with one `{}` for the name. Written for this package."""


def sentence(language: str, name: str, which: int) -> str:
    """The name set in one of its language's sentences; `which` counts round and round."""
    forms = SENTENCES[language]
    return forms[which % len(forms)].format(name)
