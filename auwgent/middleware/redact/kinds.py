"""What secrets and personal data look like: a pattern for each kind, and a look at what it has matched.

Patterns see a text in which digits, spaces and dashes of all scripts are plain ones. Their bounds are ASCII: a value
may stand directly beside Chinese or Arabic words. A group `secret` is the part that counts; without one it is all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

import regex

from auwgent.secrecy import KEY_SHAPES

Found = regex.Match[str]
# What of a match is secret, as begin and end; None: nothing is.
Look = Callable[[Found], tuple[int, int] | None]

LETTER = "A-Za-zÀ-ÖØ-öø-ɏ"
NAMES = (
    r"passw(?:or)?d|passphrase|passwort|kennwort|client_secret|api[_-]?key|access_token|contraseña|mot de passe|senha"
    r"|wachtwoord|hasło|пароль|密码|密碼|口令|パスワード|비밀번호|كلمة المرور"
)
# Names of much that is harmless, too: what stands behind them must look made up.
VAGUE_NAMES = (
    r"secret|token|(?:(?:shared[_-]?)?access|private|secret|account|master|encryption)[_-]?key|pwd|pass|auth|credential"
    r"|(?<=[?&])sig"  # of an address that Azure has signed
)
QUOTES = "\"'`"
VALUE = rf"[^\s{QUOTES},;]{{5,}}[^\s{QUOTES},;.:)\]}}>]"

PHONE_WORDS = (
    r"phones?|tel(?:efon|ephone|éfono|efono|efone|éphone)?|mobile?|cell(?:phone|ular)?|handy|call|fax|whatsapp|sms|portable"
    r"|(?:reach|text|ring|call|contact) (?:me|us|him|her|them) (?:at|on|under)|(?:my|his|her|our) number(?: is)?"
    r"|celular|móvil|cellulare|手机|手機|电话|電話|携帯|전화|휴대폰|тел(?:ефон)?|फोन|मोबाइल|هاتف|جوال"
)

# Countries whose numbers begin with 0, or 8, at home: how they are written there, with the trunk digit.
HOME = r"\(?0[1-9]\d{0,4}\)?(?:(?: ?[-./] ?| |(?<=\)))\d{1,8}){1,5}|0[1-9]\d{8,9}"
NORTH_AMERICA = r"(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}"
CHINA = r"1[3-9]\d(?:[ -]\d{4}[ -]\d{4}|\d{8})"
INDIA = r"[6-9]\d{4}[ -]\d{5}"
BRAZIL = r"\(\d{2}\) ?9?\d{4}[ -]\d{4}|\d{2} 9?\d{4}-\d{4}"  # in brackets in Mexico, too
SPAIN = r"[6789]\d{2} \d{2} \d{2} \d{2}|9\d \d{3} \d{2} \d{2}"
RUSSIA = r"8[ -]?\(?[3489]\d{2}\)?[ -]?\d{3}[ -]?\d{2}[ -]?\d{2}"
ABROAD = r"(?:\+|00)[1-9]\d{0,2}(?:[ .\-/()]{0,3}\d){6,12}"

PATTERNS: Mapping[str, str] = {
    # One that breaks off is one up to the end.
    "private_key": (
        r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----(?s:(?!-----END ).)*+"
        r"(?:-----END [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----|\Z|-----END )"
    ),
    "jwt": r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+",
    "api_key": rf"(?<![A-Za-z0-9])(?:{'|'.join(KEY_SHAPES)})(?![A-Za-z0-9])",
    "password": (
        rf"(?i:(?<![a-z])(?P<flag>--)?(?P<name>(?:[a-z0-9]{{1,20}}[_-]){{0,4}}(?:{NAMES})|(?P<vague>(?:[a-z0-9]{{1,20}}[_-]){{0,4}}(?:{VAGUE_NAMES}))))"
        rf"(?:[{QUOTES}]?\]?\s{{0,3}}(?:=>|[:=：])\s{{0,3}}|(?(flag) |(?!))| (?i:is|ist|es|est) )"
        rf"(?:(?P<quote>[{QUOTES}])(?P<secret>[^{QUOTES}\\\n]{{6,200}})(?P=quote)|[{QUOTES}]?(?P<secret>{VALUE}))"
        r"|(?<![A-Za-z])(?:[Bb]earer|Basic) (?P<secret>[A-Za-z0-9._~+/=-]{16,}+)"
    ),
    "url_password": r"(?<=[a-z])://[^\s/@:]{0,64}:(?P<secret>[^\s/@]{1,128})@",
    "email": (
        rf"(?<![{LETTER}0-9])(?:[{LETTER}0-9][{LETTER}0-9_.+-]{{0,63}}|(?<![Ѐ-ӿ])[Ѐ-ӿ][Ѐ-ӿ0-9_.+-]{{0,63}})(?:@|%40)"
        rf"(?>(?:[{LETTER}0-9-]{{1,63}}\.|[Ѐ-ӿ0-9-]{{1,63}}\.){{1,8}}"
        r"(?:xn--[a-z0-9-]{2,59}|[A-Za-z]{2,24}|[Ѐ-ӿ]{2,24}))"
        rf"(?![{LETTER}0-9])(?!:(?:[~/]|[A-Za-z0-9_.-]{{1,64}}/))"
    ),
    "card": r"(?<![A-Za-z0-9_.-])\d(?:[ -]?\d){12,18}(?![A-Za-z0-9_]|[.-]\d)",
    "iban": r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])",
    "ssn": r"(?<![A-Za-z0-9_-])\d{3}-\d{2}-\d{4}(?![A-Za-z0-9_-])",
    "phone": (
        rf"(?<![A-Za-z0-9_+.:/-])(?:{ABROAD}|(?P<home>{HOME})|{NORTH_AMERICA}|{CHINA}|{INDIA}|{BRAZIL}|{SPAIN}|(?P<russia>{RUSSIA}))"
        r"(?![A-Za-z0-9_:]|[.,/-]\d)"
        rf"|(?i:(?<![a-z])(?:{PHONE_WORDS}))(?![\[/-]\d)[^\w+(\n]{{0,6}}"
        r"(?P<secret>[+(]?\d(?:[ ().\-/]{0,2}\d){6,13})"
        r"(?![A-Za-z0-9_:]|[.,/-]\d)"
    ),
    "ip": r"(?<![A-Za-z0-9_.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![A-Za-z0-9_]|\.\d)",
}
DEFAULT_KINDS = tuple(kind for kind in PATTERNS if kind != "ip")

# --- the same text in plain digits, spaces and dashes ----------------------------------------------------------------

_LIKE = {"＠": "@", "．": ".", "＋": "+", "（": "(", "）": ")", "＝": "="}
_LIKE |= dict.fromkeys("‐‑‒–—―−－", "-") | dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000", " ")


class _Plain(dict[int, str]):
    """For `str.translate`: what a character stands for, as it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        digit = unicodedata.decimal(character, None)
        self[code] = _LIKE.get(character, character) if digit is None else str(digit)
        return self[code]


_PLAIN = _Plain()


def plain(text: str) -> str:
    """Return the text with digits, spaces and dashes of all scripts as plain ones, each in its place."""
    return text if text.isascii() else text.translate(_PLAIN)


# --- passwords -------------------------------------------------------------------------------------------------------

_VARIABLE = re.compile(
    r"[$%&*{<!@#\[(]|(?:self|this|os|process|config|settings|args|env|request|req|options|params|data|user|ctx|app"
    r"|secrets|var|local|module|props|state|body|form)\.|\\u|=|[A-Za-z_][\w.]*(?:[(\[{]|::|->|\?\.)|f?[\"']"
)
_MASKED = re.compile(r"[xX*•.…_-]+|(?i:your|my|the|some|insert|enter|example)[-_ ].*")
_IDENTIFIER = re.compile(
    r"[A-Za-z_][A-Za-z_]*(?:\d?_[A-Za-z0-9_]+)?|[a-z]+(?:[A-Z][a-z]+)+|[A-Za-z_]+(?:\.[A-Za-z_]+)+"
)
_OF_SECRETS = re.compile(r"(?i)pass|pwd|secret|token|key|cred|auth")
_HARMLESS = frozenset(
    re.findall(
        r"\w+",
        """
    string String SecretStr secretstr Optional optional required Required undefined boolean integer number
    object unknown nullable varchar VARCHAR hidden disabled enabled missing invalid incorrect expired changed
    wrong password Password passwd secret default prompt random reset needed stored hashed encrypted passwords
    protected authentication plaintext bcrypt argon2 sha256 base64 readonly private public static
""",
    )
)


def is_variable(words: str, *, quoted: bool = False) -> bool:
    """Return whether a value is an expression, a variable, a type or a blank to fill in, and so not a password."""
    if _VARIABLE.match(words) or _MASKED.fullmatch(words) or words in _HARMLESS:
        return True
    if _IDENTIFIER.fullmatch(words) is None:
        return False
    is_compound = "_" in words or "." in words or (not words.islower() and not words.istitle())
    return bool(is_compound and _OF_SECRETS.search(words)) or ("." in words and not quoted)


def looks_made_up(words: str) -> bool:
    """Return whether somebody's dice have made it: long, of one piece, with digits and letters."""
    return (
        len(words) >= 12
        and " " not in words
        and any(c.isdigit() for c in words)
        and any(c.isalpha() for c in words)
    )


def password(match: Found) -> tuple[int, int] | None:
    words, quoted = match["secret"], match["quote"] is not None
    if match["name"] is None:  # behind Bearer or Basic
        return match.span("secret") if any(c.isdigit() for c in words) else None
    between = match.string[match.end("name") : match.start("secret")].strip(QUOTES + " ]")
    in_prose = between.isalpha()  # "the password is …"
    if is_variable(words, quoted=quoted) or (in_prose and not any(c.isdigit() for c in words)):
        return None
    if match["vague"] is not None and not looks_made_up(words):
        return None
    return match.span("secret")


def url_password(match: Found) -> tuple[int, int] | None:
    is_blank = match["secret"].lower() in ("password", "pass", "passwd", "pwd", "secret", "pw")
    return None if is_blank or is_variable(match["secret"], quoted=True) else match.span("secret")


# --- addresses -------------------------------------------------------------------------------------------------------

# Endings of files and units that are not top-level domains.
_FILES = frozenset(
    re.findall(
        r"\w+",
        """
    png jpg jpeg gif svg webp bmp ico icns tif tiff avif heic mp3 mp4 wav webm css scss less js jsx mjs cjs ts
    tsx vue json jsonl html htm xml yml yaml toml txt csv tsv log ini cfg conf lock tgz gz bz2 xz tar whl jar
    war exe dll dmg deb rpm iso bin dat db sqlite pdf doc docx xls xlsx ppt pptx odt java kt swift rb php pyc
    ipynb sql bak tmp map woff ttf eot service timer socket mount slice scope device swap path
""",
    )
)
_DENSITY = re.compile(r"[1-9](?:\.\d)?x\.")  # icon@2x.…
_IN_URL = re.compile(r"://[^\s/@]*$")
_VERSION = re.compile(r"v?\d+\.\d+\.")


def email(match: Found) -> tuple[int, int] | None:
    local, at, domain = match[0].partition("%40" if "%40" in match[0] else "@")
    while domain.rpartition(".")[2].lower() in _FILES:  # a file that is named for an address may be one
        domain = domain.rpartition(".")[0]
    ending = domain.rpartition(".")[2]
    is_called = match.string[match.end() : match.end() + 1] == "("
    is_odd = not (ending.islower() or ending.isupper() or ending.istitle())
    is_host = (
        "." in domain
        and (ending.isalpha() or "--" in ending)
        and not _DENSITY.match(domain)
        and not _VERSION.match(domain)
    )
    is_user = _IN_URL.search(match.string, max(0, match.start() - 80), match.start()) is not None
    if is_user:  # of a URL; its password is another kind
        return None
    if local.lower() in ("git", "hg", "svn") or is_called or is_odd or not is_host or domain.startswith("-"):
        return None
    return match.start(), match.start() + len(local + at + domain)


# --- numbers ---------------------------------------------------------------------------------------------------------

_GROUP = re.compile(r"\d+")
_OF_ORDERS = re.compile(
    r"(?i)(?:(?:order|invoice|ticket|tracking|shipment|parcel|article|item|sku|isbn|ean|serial|build|commit|request|trace|span"
    r"|bestellung|rechnung|auftrag|commande|pedido|timestamp|epoch)|(?<![a-z])(?:id|no|nr|num(?:ber)?|time|ts|at|since|until"
    r"|created|updated)|订单|订单号|注文|заказ)[^A-Za-z0-9\n]{0,3}(?:id|no|nr|number|num)?[^A-Za-z0-9\n]{0,3}$|#$"
)


def is_of_an_order(match: Found, start: int) -> bool:
    """Return whether what stands before says that the number is of an order, a build, a moment …"""
    return _OF_ORDERS.search(match.string[max(0, start - 30) : start]) is not None


# Networks by the first digits, with the lengths of their numbers.
NETWORKS = regex.compile(
    r"4(?:\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12,15}|62\d{14,17}|3(?:0[0-5]|095|[689]\d)\d{11,16}|35(?:2[89]|[3-8]\d)\d{12,15}"
    r"|220[0-4]\d{12,15}|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}|(?:508|60|65|81|82)\d{13,14}|9792\d{12}"
)


def is_luhn(digits: str) -> bool:
    """Return whether the last digit is what the others make it."""
    numbers = [int(digit) for digit in digits]
    doubled = (digit * 2 - 9 * (digit > 4) for digit in numbers[-2::-2])
    return (sum(numbers[-1::-2]) + sum(doubled)) % 10 == 0


def card(match: Found) -> tuple[int, int] | None:
    digits = "".join(filter(str.isdigit, match[0]))
    is_one = NETWORKS.fullmatch(digits) is not None and is_luhn(digits) and len(set(digits)) > 1
    is_grouped = len(digits) < len(match[0])
    if is_grouped and max(map(len, _GROUP.findall(match[0]))) > 7:
        return None
    return match.span() if is_one and (is_grouped or not is_of_an_order(match, match.start())) else None


# From the registry of ISO 13616.
IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FK FI FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HU LB NI PL SV", "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC",
        "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def iban(match: Found) -> tuple[int, int] | None:
    length = IBAN_LENGTHS.get(match[0][:2].upper())
    places = [place for place, character in enumerate(match[0]) if character.isalnum()]
    if length is None or len(places) < length:
        return None
    end = places[length - 1] + 1  # what follows may be a word of its own
    words = match[0][:end]
    packed = "".join(filter(str.isalnum, words)).upper()
    is_apart = end == len(match[0]) or not match[0][end].isalnum()
    is_one_case = words.upper() == words or words.lower() == words
    if not is_apart or not is_one_case:
        return None
    check = int("".join(str(int(character, 36)) for character in packed[4:] + packed[:4])) % 97  # ISO 7064
    return (match.start(), match.start() + end) if check == 1 else None


def ssn(match: Found) -> tuple[int, int] | None:
    area, group, serial = match[0].split("-")
    is_given = area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
    return match.span() if is_given else None


# --- phones ----------------------------------------------------------------------------------------------------------

_LONGEST = {  # digits behind the country's own, where they are fewer than 12
    "1": 10, "7": 10, "20": 10, "27": 9, "30": 10, "31": 9, "32": 9, "33": 9, "34": 9, "36": 9, "39": 11, "40": 9,
    "41": 9, "44": 10, "45": 8, "46": 10, "47": 8, "48": 9, "49": 11, "51": 9, "52": 10, "54": 11, "55": 11, "56": 9,
    "57": 10, "58": 10, "60": 10, "61": 9, "62": 12, "63": 10, "64": 10, "65": 8, "66": 9, "81": 10, "82": 10, "84": 10,
    "86": 11, "90": 10, "91": 10, "92": 10, "94": 9, "95": 10, "98": 10,
}  # fmt: skip
_OF_DOI = re.compile(r"(?<!\d)10\.\d{4,9}/\S*$")
_DATE = re.compile(r"(?:[0-3]?\d[./-][0-3]?\d[./-](?:19|20)\d\d|(?:19|20)\d\d[./-][01]\d[./-][0-3]\d)(?!\d)")


def phone(match: Found) -> tuple[int, int] | None:
    known = match["secret"] is not None
    first, last = match.span("secret") if known else match.span()
    words = match.string[first:last]
    digits = "".join(filter(str.isdigit, words))
    if words.startswith("(") and ")" not in words:  # `call(1234567)` is code, `phone (1234567)` is not
        if match.string[first - 1 : first].isalpha():
            return None
        first, words = first + 1, words[1:]
    if (
        _DATE.match(words)
        or re.fullmatch(r"[+]\d+\.\d+", words)
        or _OF_DOI.search(match.string[max(0, first - 80) : first])
    ):
        return None
    if known:
        longest = 15
    elif words[0] == "+" or words.startswith("00"):
        bare = digits if words[0] == "+" else digits[2:]
        code = next((code for code in (bare[:1], bare[:2]) if code in _LONGEST), bare[:3])
        longest = len(digits) - len(bare) + len(code) + _LONGEST.get(code, 12)
    elif match["home"] is not None:
        longest = 11
        if len(digits) < 9 or (words.isdigit() and is_of_an_order(match, first)):
            return None
    else:
        longest = 15
        if words.isdigit() and is_of_an_order(match, first):
            return None
    while len(digits) > longest:  # the last group is something else that follows
        groups = list(_GROUP.finditer(words))
        if len(groups) < 2:
            return None
        words = words[: groups[-2].end()]
        digits = "".join(filter(str.isdigit, words))
    return (first, first + len(words)) if len(digits) >= 7 + (not known) else None


# Fields whose numbers may be a card's, written without quotes.
CARD_NAME = re.compile(
    r"(?i)(?!.*ids?$).*(?:(?<![a-z])(?:pan|cc(?:_?n(?:o|um(?:ber)?))?)(?![a-z])"
    r"|card|karte|carte|tarjeta|cart[aã]o|carta|kaart|karta|карт|卡|カード|카드)"
)


LOOKS: Mapping[str, Look] = {
    "password": password,
    "url_password": url_password,
    "email": email,
    "card": card,
    "iban": iban,
    "ssn": ssn,
    "phone": phone,
}
