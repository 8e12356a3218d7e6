"""Signs that a retrieved text speaks to the model instead of to its reader.

They decide nothing: text of documents is data, whatever it says, and never gets into the system
role. They are counted and shown, so that somebody looks at the document.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

from prometheus_client import Counter

from services.gateway.pipeline.links import without_invisible
from services.gateway.pipeline.needles import Needled

MAX_CHARACTERS = 20_000
"""What is read of one text."""

_MIN_HIDDEN = 3
"""Invisible characters from which a text counts as hiding something: one byte order mark or soft
hyphen does not."""

_SIGNALS = Counter(
    "cairn_gateway_injection_signals_total",
    "Retrieved passages that look like instructions to a model.",
    ["signal"],
)


def _any(*parts: str) -> Needled:
    """Returns patterns for lower-case text: half the time of those that ignore case."""
    return Needled(part.lower() for part in parts)


_OVERRIDE = _any(
    r"\b(?:ignore|disregard\w*|forget\w*|overrid\w*|overwrit\w*|bypass\w*|skip|drop|cancel\w*|"
    r"supersed\w*|replac\w*|void\w*)\b.{0,60}\b(?:instruction|prompt|rule|guideline|direction|"
    r"polic(?:y|ies)|restriction|constraint|system message|context|training|safeguard|filter|above|"
    r"everything)s?\b",
    r"\b(?:new|updated|real|actual|revised|secret|hidden) (?:system )?(?:instruction|task|orders?|"
    r"directive|objective)s?\b",
    r"\b(?:you are|you're|act as|pretend (?:to be|you)|behave as|from now on|you will now|you must "
    r"now|switch to|enter|enable)\b.{0,60}\b(?:now|dan|jailbr|unrestricted|no (?:rules|limits|"
    r"restrictions)|developer mode|god mode|admin(?:istrator)?|root|debug|evil|pirate|different "
    r"assistant|another assistant|without (?:any )?(?:rules|restrictions|limits))",
    r"\b(?:do not|don't|never|stop) (?:answer\w*|follow\w*|obey\w*|us(?:e|ing)|cit(?:e|ing)|refus"
    r"\w*|mention\w*|tell\w*|warn\w*)\b.{0,50}\b(?:question|instruction|rule|passage|source|user|"
    r"request|this (?:note|message)|the above)",
    r"\b(?:instead|rather),? (?:of answering|(?:reply|respond|answer|say|write|output|print))\b",
    r"\b(?:reply|respond|answer|output|say|print|write) (?:only|exactly|just|with (?:only|exactly|"
    r"just|the (?:word|text|phrase|following)))\b",
    r"\b(?:ai|assistant|model|llm|chatbot|language model|gpt|claude|"
    r"llama)s?\b[:, ].{0,40}\b(?:must|"
    r"should|shall|have to|need to|please|are (?:required|ordered|instructed)|is (?:required|"
    r"ordered|instructed))\b",
    # The same in other languages: German, French, Spanish, Portuguese, Italian, Dutch, Polish.
    r"\b(?:ignorier\w*|vergiss|vergessen sie|missachte\w*)\b.{0,60}\b(?:anweisung|regel|vorgabe|"
    r"prompt|"
    r"obige|bisherige)",
    r"\b(?:ignore[rz]?|oublie[rz]?|ne tiens pas compte)\b.{0,60}\b(?:instruction|consigne|r[èe]gle|"
    r"pr[ée]c[ée]dent)",
    r"\b(?:ignor[ae]|olvid[ae]|descart[ae]|desconsider[ae]|esque[çc]a|dimentica|scorda)\w*\b.{0,60}"
    r"\b(?:instruc|regl|norma|anterior|instru[çc]|istruzion|regol|precedent)",
    r"\b(?:negeer|vergeet)\b.{0,60}\b(?:instructie|regel|opdracht)",
    r"\b(?:zignoruj|pomi[ńn]|zapomnij)\b.{0,60}\b(?:instrukcj|polece|zasad)",
    # Russian, Ukrainian, Turkish, Chinese, Japanese, Korean, Arabic, Persian, Hindi, Vietnamese.
    r"(?:игнорируй|проигнорируй|забудь|ігноруй|не обращай внимания).{0,60}(?:инструкц|указани|"
    r"правил|"
    r"інструкц|предыдущ)",
    r"(?:talimat|kural|yönerge)\w*.{0,40}(?:yok say|unut|görmezden|dikkate alma)",
    r"(?:忽略|无视|無視|忘记|忘記|不要理会|请忽视).{0,20}(?:指令|指示|提示|规则|規則|说明|以上|之前|先前)",
    r"(?:指示|命令|ルール|プロンプト|規則).{0,15}(?:無視|忘れ|従わない)",
    r"(?:지시|명령|규칙|프롬프트).{0,15}(?:무시|잊어|따르지)",
    r"(?:تجاهل|انس[َى]?|لا تتبع|نادیده بگیر).{0,40}(?:تعليمات|التعليمات|القواعد|الأوامر|دستور)",
    r"(?:دستور|قوانین).{0,40}(?:نادیده|فراموش)",
    r"(?:निर्देश|नियम|आदेश).{0,40}(?:अनदेखा|भूल|नज़रअंदाज़|अनदेखी)",
    r"\b(?:bỏ qua|quên)\b.{0,40}(?:hướng dẫn|chỉ dẫn|quy tắc)",
)
_ROLE = _any(
    r"<\|[^|<>\n]{1,60}\|>",
    r"<｜[^｜<>\n]{1,60}｜>",
    r"\[/?(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>",
    r"<\s*/?\s*(?:system|assistant|passages?|context|instructions?|start_of_turn|end_of_turn|think|s|"
    r"bos|eos)\b[^>\n]{0,80}>",
    r"(?:^|\n)\s*(?:#{1,6}\s*)?[\[*(]*(?:system|assistant|developer|human)"
    r"(?: (?:message|prompt|note|override))?[\])*]*\s*[:：]",
    r"\bBEGIN (?:SYSTEM|INSTRUCTIONS?|ADMIN)|\bEND OF (?:DOCUMENT|CONTEXT|PASSAGES?|DATA|"
    r"USER INPUT)",
    r"\"role\"\s*:\s*\"(?:system|assistant|developer|tool)\"",
)
_LEAK = _any(
    r"\b(?:reveal|show|print|repeat|output|display|disclose|leak|tell|share|give|quote|recite|"
    r"summari[sz]e|translate|list|dump|echo|what (?:is|are|was|were)|copy|include|state|"
    r"write)\b.{0,60}"
    r"\b(?:system prompt|system message|(?:your|the|initial|original|hidden|above|previous|first|"
    r"exact) "
    r"(?:\w+ ){0,2}(?:prompt|instruction|rule|guideline|configuration|directive)s?|api[ _-]?keys?|"
    r"passwords?|secrets?|credentials?|access tokens?|environment variables?|"
    r"other (?:tenant|user|customer|document)s?|conversation history|chat history|training data)",
    r"\b(?:everything|all (?:the )?text|the (?:text|words?|lines?)) above\b",
    r"\b(?:zeige?|verrate|nenne|gib|wiederhole|affiche|montre|r[ée]v[èe]le|muestra|revela|mostra|"
    r"rivela|"
    r"mostre|revele|toon|pokaż|ujawnij)\b.{0,60}(?:prompt|system|anweisung|passw|instruc|consigne|"
    r"contrase|istruzion|instructie|wachtwoord|has[łl]o|mot de passe)",
    r"(?:покажи|раскрой|выведи|повтори).{0,40}(?:промпт|инструкц|парол|систем)",
    r"(?:显示|透露|输出|重复|泄露|顯示|告诉我).{0,20}(?:系统|系統|提示|密码|指令|密碼)",
    r"(?:システム|プロンプト|パスワード).{0,20}(?:表示|教え|出力|公開)",
    r"(?:시스템|프롬프트|비밀번호).{0,20}(?:보여|출력|공개|알려)",
    r"(?:اعرض|اكشف|أظهر).{0,40}(?:النظام|تعليمات|كلمة المرور)",
)
_EXFILTRATION = _any(
    r"!\[[^\]\n]{0,300}\]\s?[\[(]",
    r"<(?:img|iframe|script|object|embed|video|audio|link|form|svg|image|source|meta)\b",
    r"\b(?:javascript|vbscript|data):[^\s]{3,}",
    r"\b(?:send|upload|forward|transmit|e-?mail|exfiltrat\w*|append|leak|"
    r"attach|schicke?|sende|envoie[rz]?|env[ií]a|invia|отправь|发送|送信)\b.{0,80}(?:https?:|"
    r"[\w.]+@[\w.]"
    r"+|webhook|query string)",
    r"https?://[^\s)\]]*(?:[?&][\w-]+=)?(?:\{\{?|<|%7b|\[)(?:secret|data|answer|prompt|system|"
    r"history|"
    r"conversation|key|user|content|password|token|context|summary)",
    r"<(?:a\s+href\s*=|https?:)[^<>]{0,300}[?&]",
)
_TOOLS = _any(
    r"<\s*/?\s*(?:tool_call|tool_response|function_call|function_calls|invoke|tool|function|"
    r"tools)\b",
    r"\"(?:tool_calls?|function_call|function|tool|action|recipient_name|"
    r"name)\"\s*:\s*[\"{\[].{0,200}"
    r"\"(?:arguments|parameters|input|args|action_input)\"",
    r"\b(?:call|use|invoke|run|execute|trigger)\b.{0,30}\b(?:(?:shell|python|browser|search) tool|"
    r"(?:the|this|your) (?:tool|function|plugin) \w+_\w+|code interpreter|"
    r"(?:delete|send|drop|fetch|read|write)_\w+|file_search)\b",
    r"\b(?:run|execute) this (?:command|code|script) first\b",
    r"\bto=(?:functions|tools|python|browser)\b|\b(?:rm -rf|DROP TABLE|os\.system|subprocess\.|"
    r"curl "
    r"-|wget )",
    r"(?:^|\n)\s*(?:Action|Action Input|Thought|Observation|Tool)\s*:",
)
_FAKE_CITATION = _any(
    r"\b(?:cite|citation|reference|marker|source|passage|attribut\w*)\b.{0,50}\[\s*\d{1,3}\s*\]",
    r"\[\s*\d{1,3}\s*\]\s*\((?:https?:|//)",
    r"\b(?:cite|attribute|credit|quote)\b.{0,40}\b(?:(?:document|chunk|tenant)[_ ]?id|"
    r"passage number|tenant)\b",
    r"\b(?:document_id|chunk_id|tenant)\s*[=:]",
)
_ENCODING = _any(
    r"\b(?:base ?64|rot-?13|hex(?:adecimal)?|morse|caesar|reversed?|backwards|leetspeak|ascii code|"
    r"url-?encod\w*|unicode escape|percent-?encod\w*|cipher)\b.{0,60}\b(?:decod\w*|follow|obey|"
    r"execut\w*|instruction|do what|it says)\b",
    r"\b(?:decod\w*|decipher|decrypt|unscramble)\b.{0,60}\b(?:follow|obey|execut\w*|instruction|"
    r"base ?64|rot-?13|and do)\b",
    r"(?:\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|&#x?[0-9a-f]{2,5};|%[0-9a-f]{2}){6,}",
)
_PATTERNS: Mapping[str, Needled] = MappingProxyType(
    {
        "override": _OVERRIDE,
        "role": _ROLE,
        "leak": _LEAK,
        "exfiltration": _EXFILTRATION,
        "tool": _TOOLS,
        "citation": _FAKE_CITATION,
        "encoded": _ENCODING,
    }
)
SIGNALS = (*_PATTERNS, "hidden")
_HIDING = re.compile(
    "(?<=\\w)[\u00ad\u200b\u2060-\u2064](?=\\w)|[\U000e0000-\U000e007f\u2060-\u2064]"
)
_OVERRIDING = re.compile("[\u202d\u202e\u2066-\u2068]")
"""Marks that turn the direction of text around whatever its letters say."""
_BASE64 = re.compile(r"(?<![\w+/])[A-Za-z0-9+/]{24,}={0,2}(?![\w+/])")
_ODD_LETTERS = str.maketrans("@$013457|", "asoieasti")


@lru_cache(maxsize=4_096)
def signals(text: str) -> frozenset[str]:
    """Returns which signs of an injection a text shows; most texts show none.

    Args:
        text: As it was retrieved, invisible characters included.
    """
    text = text[:MAX_CHARACTERS]
    visible = unicodedata.normalize("NFKC", without_invisible(text))
    lower = visible.lower()
    found = {name for name, pattern in _PATTERNS.items() if pattern.is_in(lower)}
    if not text.isascii() and (
        len(_HIDING.findall(text)) >= _MIN_HIDDEN or _OVERRIDING.search(text)
    ):
        found.add("hidden")
    for disguised in _disguised(visible):
        if _OVERRIDE.is_in(disguised.lower()) or _LEAK.is_in(disguised.lower()):
            found.add("encoded")
    return frozenset(found)


def _disguised(text: str) -> Iterable[str]:
    """Yields readings of a text that hides its words from a plain search."""
    for match in _BASE64.finditer(text):
        try:
            yield base64.b64decode(match.group() + "=" * (-len(match.group()) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    if spaced := re.findall(r"\b(?:\w[ ._-]){5,}\w\b", text):
        yield from (re.sub(r"[ ._-]", "", each) for each in spaced)
        yield " ".join(re.sub(r"[._-]| (?! )", "", each) for each in spaced)
    if re.search(r"[a-z][@$0134571][a-z]", text, re.IGNORECASE):
        yield text.translate(_ODD_LETTERS)
    folded = text.casefold()
    if "vtaber" in folded or "vafgehpgvbaf" in folded:  # "ignore", "instructions" in rot13
        yield folded.translate(_ROT13)
    if "erongi" in folded or "snoitcurtsni" in folded:  # written backwards
        yield text[::-1]


_ROT13 = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")


def count_signals(texts: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Returns the signs per passage that shows any, and counts them.

    Args:
        texts: Identifier and text of each passage.
    """
    flagged = {name: tuple(sorted(found)) for name, text in texts if (found := signals(text))}
    for found in flagged.values():
        for signal in found:
            _SIGNALS.labels(signal).inc()
    return flagged
