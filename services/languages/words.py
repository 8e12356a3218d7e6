"""The commonest function and question words of languages.

Each language has some of its own and some that neighbours have, too; a word counts for a language
by one over the number of languages that have it, so that "de" says little and "für" much.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WORDS = {
    "en": "the of and to in is that for it with as was on be at by this are from or which not "
    "have has an they you we can will their what who how why when where does did do should would "
    "whose many much were a if any all must may shall",
    "de": "der die das und ist nicht mit von den zu ein eine auf für dem des im sich auch als wird "
    "sind werden bei aus nach oder wie einer über wer was wann wo warum welche welcher welches "
    "welchem welchen wurde hat haben kann kein keine viele viel ich man wir sie darf oft muss "
    "hoch groß lange",
    "fr": "le la les des et est un une dans pour que qui pas sur avec sont par au du il plus ne se "
    "aux cette ou leur nous être ce quel quelle quels quelles comment pourquoi où quand combien "
    "quoi fait ont été de elle on je vous faut peut doit quelles",
    "es": "el los las una un y es en que por con para del se no su como más al lo pero sus este "
    "esta ha son también hay entre qué quién quiénes cómo cuándo dónde cuál cuáles cuántos cuántas "
    "cuánto cuánta cuanto cuantos cuando donde fue está la de "
    "debe puede",
    "it": "il di che è per un una non con del della sono le gli nel si da alla anche come più dei "
    "delle questo ma lo ha dalla quando dove perché chi quale quali quanto quanti quanta quante "
    "cosa stato la deve può",
    "pt": "o os as uma um é em que não com para por do da dos das no na se mais como ao ou também "
    "são foi pelo pela seu qual quais quem quando onde quantos quantas quanto está porque de deve "
    "pode",
    "nl": "de het een en van is dat niet op te zijn voor met die aan er ook als door wordt naar "
    "bij om of deze worden maar uit wat wie hoe waar wanneer waarom welke hoeveel werd heeft kan "
    "in moet",
    "sv": "och att det som en på är av för med den till inte har om ett var jag från eller vid "
    "kan så men också sig vad vem hur när varför vilken vilka vilket hade många i måste",
    "da": "og at det som en på er af for med den til ikke har om et der jeg fra eller ved kan blev "
    "men også sig hvor hvad hvem hvordan hvornår hvorfor hvilken hvilke mange i skal",
    "no": "og at det som en på er av for med den til ikke har om et jeg fra eller ved kan ble men "
    "også seg hvor etter hva hvem hvordan når hvorfor hvilke hvilken mange i skal",
    "fi": "ja on ei se että oli hän ovat kuin mutta myös sen joka tai ole niin kun mukaan vuonna "
    "jos voi sekä tämä mikä mitä kuka miten missä milloin miksi kuinka monta mitkä minkä",
    "pl": "i w na nie się z do jest to że o jak po ale za od przez dla są oraz było który która "
    "może tym być tego co kto gdzie kiedy dlaczego które ile czy był była długo",
    "cs": "a v na se je že s z do o to ve jako pro za by ale byl jsou od po při který která také "
    "nebo jeho však co kdo jak kde kdy proč které kolik byla jaký jaká jaké",
    "sk": "a v na sa je že s z do o to vo ako pre za by ale bol sú od po pri ktorý ktorá tiež "
    "alebo jeho však čo kto kde kedy prečo ktoré koľko bola aký aká aké",
    "hr": "i u na se je da s za od do o koji koja koje su nije kao ili ali što šta tko ko gdje gde "
    "kada zašto koliko bio bila kako može",
    "hu": "a az és hogy nem is egy van ez csak meg de vagy mint volt el már még ha ki azt lehet "
    "között után által mi hol mikor miért hogyan melyik hány mit kik kell",
    "ro": "și în de la cu a nu este pe că din care o un pentru mai se au sau fi prin dar sunt fost "
    "această după lui ce cine cum unde când câte câți trebuie",
    "tr": "ve bir bu da de için ile olarak çok daha gibi olan ne kadar sonra her ama en var ise "
    "değil olduğu tarafından kim nasıl nerede zaman neden hangi kaç mi mı mu mü",
    "lv": "un ir ar par no ka uz kas to bet lai pie arī tika kā gada pēc vai kuri tas šo nav bija "
    "kur kad kāpēc cik kāds kāda",
    "lt": "ir yra su kad iš į tai bet kaip buvo apie tik jo už ar po nuo taip pat metais kuris kas "
    "kur kada kodėl kiek koks kokia",
    "et": "ja on ei et see oli ka kui aga või mis ning tema selle välja nende üle aasta pärast kes "
    "kus millal miks kuidas palju",
    "id": "yang dan di itu dengan untuk tidak dari dalam adalah pada ini akan ke oleh juga apa "
    "siapa bagaimana kapan mana mengapa berapa atau",
    "vi": "là và của có không được cho các một những gì như thế nào ở trong khi với này bao nhiêu "
    "tại sao ai người",
}
"""Of languages in Latin script, by ISO 639-1 code: they are told apart by them."""

_OTHER_WORDS = {
    "ru": "и в во на с со к по из за от до о об у не что как когда где кто чей какой какая какое "
    "какие каких сколько почему зачем это ли для или а но быть был была было есть можно нужно надо",
    "uk": "і й в у на з до по із за від про не що як коли де хто чий який яка яке які скільки чому "
    "це чи для або а але бути був була було є можна треба",
    "bg": "и в във на с със по от за до не какво как кога къде кой коя кое кои колко защо това ли "
    "е са или а но се да може",
    "sr": "и у на с са по од за до не шта како када где ко који која које колико зашто то је ли су "
    "или а али се да може",
    "el": "ο η το οι τα του της των τον την και σε στο στη στην με για από να θα που τι πώς πότε "
    "πού ποιος ποια ποιο πόσο πόσα πόσες πόσοι γιατί είναι ή δεν",
    "he": "של את על עם אל מן לא הוא היא הם זה זו מה מי איך מתי איפה כמה למה מדוע איזה האם או גם כי "
    "יש אין",
    "ar": "في من إلى على عن مع هو هي هم هذا هذه ذلك ما ماذا متى أين من كيف كم لماذا أي هل و أو أن "
    "كان كانت لا لم التي الذي",
    "fa": "در از به با برای که را این آن است هست بود چه چی کی کجا چند چرا چگونه کدام آیا و یا تا",
    "ur": "میں سے کو کا کی کے پر اور یہ وہ ہے ہیں تھا تھی کیا کب کہاں کون کتنا کتنی کتنے کیوں کیسے "
    "نے تک یا",
    "hi": "में से को का की के पर और यह वह ये वे है हैं था थी थे क्या कब कहाँ कहां कौन कितना कितनी "
    "कितने किस किसे किसने क्यों कैसे ने तक या ही भी होता होती होते जाता जाती हुआ हो",
    "bn": "এবং ও এর তে কে থেকে জন্য এই সেই কি কী কখন কোথায় কে কত কেন কীভাবে কোন হয় আছে ছিল না",
    "ta": "ஒரு இந்த அந்த என்ன எப்போது எங்கே யார் எத்தனை எவ்வளவு ஏன் எப்படி எந்த மற்றும்",
    "te": "ఒక ఈ ఆ ఏమి ఎప్పుడు ఎక్కడ ఎవరు ఎన్ని ఎంత ఎందుకు ఎలా ఏ మరియు",
    "ko": "은 는 이 가 을 를 의 에 와 과 무엇 언제 어디 누가 누구 몇 얼마 왜 어떻게 어떤 무슨",
}


def function_words(language: str) -> frozenset[str]:
    """Returns the commonest function and question words of a language; none where none are known.

    Args:
        language: ISO 639-1 code.
    """
    return frozenset((WORDS.get(language) or _OTHER_WORDS.get(language, "")).split())


def _languages_of() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for language, text in WORDS.items():
        for word in dict.fromkeys(text.split()):
            found[word] = (*found.get(word, ()), language)
    return MappingProxyType(found)


LANGUAGES_OF = _languages_of()
"""The languages that have a word."""
