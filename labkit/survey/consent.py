"""What a rater agrees to, in English and Russian. A consent is recorded with the version of the text that was shown."""

from __future__ import annotations

import hashlib

AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
GENDERS = ("woman", "man", "other")

CONSENT = {
    "en": """You will see pictures that a computer made from a few words, one after the other, and say from 0 to 10 how well \
each fits its words: 0 not at all, 10 exactly. There is no right answer, and it takes a few minutes.

We keep your votes, how long you looked, and the order in which you saw the pictures, under a random number. We do not \
ask for your name and do not keep your address. If you tell us your age band or gender, they are only added to a count \
and never kept with your votes; counts of few people are not shown.

You can stop at any time. With your return code you can come back, change a vote, or have all of your votes deleted. \
You are 18 or older and take part of your own free will.""",
    "ru": """Вы увидите одну за другой картинки, которые компьютер сделал по нескольким словам, и оцените от 0 до 10, \
насколько каждая подходит к своим словам: 0 – совсем не подходит, 10 – точно. Правильных ответов нет, это займёт \
несколько минут.

Мы храним ваши оценки, время просмотра и порядок показа под случайным номером. Имя мы не спрашиваем и адрес не \
сохраняем. Если вы укажете возрастную группу или пол, они только прибавятся к общему счёту и не связаны с вашими \
оценками; малые группы не показываются.

Остановиться можно в любой момент. По коду возврата вы можете продолжить, изменить оценку или удалить все свои оценки. \
Вам есть 18 лет, и вы участвуете добровольно.""",
}


def version(text: str) -> str:
    """12 hex digits that identify a text; another word is another version."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
