"""What the rating page says, in English and Russian: one table, so that nothing is said in one language only."""

from __future__ import annotations

from labkit.survey.consent import AGE_BANDS, GENDERS

LANGUAGES = {"en": "English", "ru": "Русский"}

WORDS = {
    "en": {
        "title": "How well do pictures fit their words?",
        "begin": "I agree, begin",
        "age": "Age band", "gender": "Gender", "optional": "If you like; only counted, never kept with your votes",
        "have_code": "I have been here before", "code_ask": "Return code", "code_go": "Go on where I was",
        "progress": "{number} of {total}", "so_far": "your vote so far: {rating}", "picture": "Picture {number}",
        "words": "Words", "question": "How well does the picture fit its words?",
        "look": "Please look at the picture and answer.",
        "low": "0: not at all", "high": "10: exactly",
        "soon": "Your {rating} is kept. It counts after a moment of looking: {seconds} s", "lost": "No answer from the server. "
        "Please choose again.",
        "back": "Previous", "onward": "Keep my {rating} and go on",
        "keys": "Keys: <kbd>0</kbd> to <kbd>9</kbd>, and <kbd>-</kbd> (to the right of 0) for 10; or <kbd>←</kbd> <kbd>→</kbd> "
        "and <kbd>Enter</kbd>; <kbd>Backspace</kbd> for the previous picture",
        "again": "Look at my votes again", "thanks": "Thank you!",
        "thanks_more": "You have rated all {total} pictures. Your votes are saved; you may close this page.",
        "code": "Stop, come back, or delete my votes",
        "code_label": "Your return code",
        "code_info": "This browser remembers where you were. Elsewhere this code brings you back; we cannot look it up",
        "withdraw": "Delete all my votes", "sure": "Really delete all of your votes? This cannot be undone.",
        "yes": "Yes, delete them", "no": "No, keep them",
        "withdrawn": "All of your votes are deleted.",
        "unknown": "This return code is not known here. Copy it again, or begin anew.",
        "full": "This survey has all the people that it can take. Thank you for your interest.",
        "language": "Language",
        "none": "There is no survey here yet. Make one from the pictures of a sweep, then start this page again: "
        "<code>python -m labkit survey new NAME FOLDER</code>",
    },
    "ru": {
        "title": "Насколько картинки подходят к словам?",
        "begin": "Согласие даю, начать",
        "age": "Возраст", "gender": "Пол", "optional": "По желанию; только для общего счёта, отдельно от оценок",
        "have_code": "Я здесь не в первый раз", "code_ask": "Код возврата", "code_go": "Продолжить с того же места",
        "progress": "{number} из {total}", "so_far": "ваша оценка: {rating}", "picture": "Картинка {number}",
        "words": "Слова", "question": "Насколько картинка подходит к словам?",
        "look": "Посмотрите на картинку и ответьте.",
        "low": "0: совсем нет", "high": "10: точно",
        "soon": "Ваша оценка {rating} запомнена. Посмотрите ещё немного: {seconds} с", "lost": "Сервер не отвечает. "
        "Выберите оценку ещё раз.",
        "back": "Предыдущая", "onward": "Оставить {rating} и дальше",
        "keys": "Клавиши: от <kbd>0</kbd> до <kbd>9</kbd>, а <kbd>-</kbd> (справа от 0) – это 10; или <kbd>←</kbd> "
        "<kbd>→</kbd> и <kbd>Enter</kbd>; <kbd>Backspace</kbd> – предыдущая картинка",
        "again": "Посмотреть мои оценки ещё раз", "thanks": "Спасибо!",
        "thanks_more": "Оценены все картинки: {total}. Оценки сохранены, страницу можно закрыть.",
        "code": "Прерваться, вернуться или удалить мои оценки",
        "code_label": "Ваш код возврата",
        "code_info": "Этот браузер помнит, где вы остановились. На другом устройстве поможет этот код; восстановить его нельзя",
        "withdraw": "Удалить все мои оценки", "sure": "Точно удалить все ваши оценки? Вернуть их будет нельзя.",
        "yes": "Да, удалить", "no": "Нет, оставить",
        "withdrawn": "Все ваши оценки удалены.",
        "unknown": "Такого кода возврата здесь нет. Скопируйте его ещё раз или начните заново.",
        "full": "В этом опросе уже достаточно участников. Спасибо за интерес.",
        "language": "Язык",
        "none": "Опроса здесь пока нет. Создайте его из картинок и запустите страницу снова: "
        "<code>python -m labkit survey new NAME FOLDER</code>",
    },
}  # fmt: skip

ANSWERS = {  # of the two optional questions; what is stored is the key
    "en": {"": "no answer", **{band: band for band in AGE_BANDS}, **{name: name for name in GENDERS}},
    "ru": {"": "без ответа", **{band: band for band in AGE_BANDS}, "woman": "женский", "man": "мужской", "other": "другой"},
}


def language_of(accepted: str | None) -> str:
    """The page's language for a browser's Accept-Language header: the first of ours that it names, else English."""
    for part in (accepted or "").lower().split(","):
        if (code := part.strip()[:2]) in LANGUAGES:
            return code
    return "en"


def choices(language: str, answers: tuple[str, ...]) -> list[tuple[str, str]]:
    """(shown, stored) of a question, "no answer" ("") first."""
    return [(ANSWERS[language][answer], answer) for answer in ("", *answers)]
