"""Languages are told by script and common words; too little gives none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.languages.telling import LANGUAGES, language_of_question, language_of_text

QUESTIONS = {
    "en": "How does granite form when magma cools?",
    "de": "Wie entsteht Granit und warum ist er so hart?",
    "fr": "Comment le granite se forme-t-il dans la croûte ?",
    "es": "¿Cómo se forma el granito en la corteza?",
    "it": "Come si forma il granito nella crosta?",
    "pt": "Quando foi formado o granito e quem o descobriu?",
    "nl": "Hoe wordt graniet gevormd en waarom is het hard?",
    "sv": "Vad är granit och varför är den hård?",
    "fi": "Mikä on graniitti ja miten se muodostuu?",
    "pl": "Co to jest granit i dlaczego jest twardy?",
    "hu": "Mi a gránit és hogyan keletkezik?",
    "tr": "Granit nedir ve neden bu kadar serttir?",
    "ru": "Как образуется гранит?",
    "uk": "Як утворюється граніт і чому він твердий?",
    "el": "Πώς σχηματίζεται ο γρανίτης;",
    "ar": "كيف يتكون الجرانيت؟",
    "fa": "گرانیت چگونه تشکیل می‌شود؟",
    "he": "איך נוצר גרניט?",
    "hi": "ग्रेनाइट कैसे बनता है?",
    "th": "หินแกรนิตเกิดขึ้นได้อย่างไร",
    "zh": "花岗岩是怎么形成的？",
    "ja": "花崗岩はどのようにできますか？",
    "ko": "화강암은 어떻게 만들어집니까?",
    "sk": "Aká je výška nájmu?",
    "hr": "Koliko traje ugovor?",
    "id": "Berapa lama masa sewa?",
    "vi": "Bao lâu thì hợp đồng hết hạn?",
    "ur": "معاہدہ کب ختم ہوتا ہے؟",
    "bg": "Колко струва наемът?",
    "te": "అద్దె ఎంత?",
}
TEXTS = {
    "en": "The court held that the contract was void because neither of the parties had signed it.",
    "de": "Der Vertrag ist nichtig, weil keine der Parteien ihn unterschrieben hat und er nicht gilt.",
    "fr": "Le contrat est nul parce que les parties ne l'ont pas signé et que la date est dans le passé.",
    "es": "El contrato es nulo porque las partes no lo han firmado y la fecha es anterior al pago.",
    "it": "Il contratto è nullo perché le parti non lo hanno firmato e la data è anteriore al pagamento.",
    "pt": "O contrato é nulo porque as partes não o assinaram e a data é anterior ao pagamento da renda.",
    "nl": "De overeenkomst is nietig omdat de partijen het niet hebben ondertekend en de datum onjuist is.",
    "sv": "Avtalet är ogiltigt eftersom parterna inte har undertecknat det och datumet är fel för den.",
    "pl": "Umowa jest nieważna, ponieważ strony jej nie podpisały, a data jest niezgodna z tym co było.",
    "lv": "Līgums nav spēkā, jo puses to nav parakstījušas un datums ir nepareizs, kas ir kļūda.",
    "ru": "Договор недействителен, потому что стороны его не подписали, и дата указана неверно.",
    "uk": "Договір недійсний, оскільки сторони його не підписали, і дата вказана неправильно.",
    "el": "Η σύμβαση είναι άκυρη επειδή τα μέρη δεν την υπέγραψαν.",
    "ja": "契約は当事者が署名していないため無効です。",
    "zh": "合同无效,因为双方没有签字,日期也不正确。",
    "ko": "당사자들이 서명하지 않았기 때문에 계약은 무효입니다.",
    "ar": "العقد باطل لأن الطرفين لم يوقعا عليه.",
    "he": "החוזה בטל כי הצדדים לא חתמו עליו.",
    "": "xq zv 1234 5678 kpl",
}


@pytest.mark.parametrize("language", QUESTIONS)
def test_the_language_of_a_question(language: str) -> None:
    assert language_of_question(QUESTIONS[language]) == language


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_of_a_text(language: str) -> None:
    assert language_of_text(TEXTS[language]) == language


@pytest.mark.parametrize("text", ["", "  ", "42?", "granite", "HTTP 429", "🙂", "[1] (2)"])
def test_no_language_rather_than_a_wrong_one(text: str) -> None:
    assert language_of_question(text) == ""


@pytest.mark.parametrize("text", ["", "the of", "42 1,000.00 -- ==", "Wer ist das?"])
def test_a_few_words_say_nothing_of_a_whole_text(text: str) -> None:
    assert language_of_text(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Granit besteht aus Quarz, und der Handelsname lautet Black Galaxy Premium Slab Deluxe.",
        "Die Funktion get_value() ist nicht mit dem Parameter timeout zu verwenden.",
    ],
)
def test_foreign_names_do_not_change_a_texts_language(text: str) -> None:
    assert language_of_text(text) == "de"


@given(st.text())
def test_any_text_has_one_of_the_languages_or_none(text: str) -> None:
    assert language_of_question(text) in {"", *LANGUAGES}
    assert language_of_text(text) in {"", *LANGUAGES}
