# ruff: noqa: RUF001 (other scripts)
"""Simple sentences in many languages for the built-in corpus, combined from word lists written for it.

Each language has subjects (third person singular), verbs, objects and endings that fit each other in any combination,
and a few whole sentences. Their meaning matters little; they cover every phoneme of the language.
"""

import numpy as np

from expnet.errors import InputError

_JOINED = {"cmn", "ja"}  # written without spaces between the parts

# language -> subjects, verbs, objects, endings, whole sentences; parts are separated by "|"
_WORDS: dict[str, tuple[str, str, str, str, str]] = {
    "en": (
        "my mother|the young baker|our neighbour|a brown fox|the old fisherman|his sister|the new teacher|"
        "Paul|every good farmer|the vice president|somebody|the boy with the drum",
        "sees|buys|wants|paints|brings back|would move|has found|never forgets|should choose|measures|watches|loves",
        "a big red apple|the wooden boat|fresh bread and butter|this beautiful moon|five small paper bags|"
        "the blue umbrella|the warm soup|her favourite picture|a thousand voices|the church bell|a cheap ticket|"
        "the whole village",
        "every morning|before the bus leaves|in the middle of the park|with both hands|for the last time|"
        "while the children play|without saying why|near the harbour|after a very long pause|on Thursday evening",
        "How are you today?|Please put the map above the oven.|I would rather go by train.|Peter, bring me a cup!|"
        "We have been waiting for you for an hour.|That is a huge difference, is it not?|Oh, what a surprise!",
    ),
    "de": (
        "meine Mutter|der junge Bäcker|unser Nachbar|ein brauner Fuchs|die müde Köchin|Paul|der Bürgermeister|"
        "das kleine Mädchen|niemand|der alte Fischer|die Lehrerin",
        "sieht|kauft|möchte|malt|bringt|findet|vergisst|wünscht sich|zeichnet|verschenkt|prüft|mag",
        "einen großen Apfel|das hölzerne Boot|frische Brötchen|den vollen Mond|fünf bunte Tüten|schöne Bücher|"
        "die warme Suppe|ein altes Buch|das Frühstück|zwölf Pflaumen|die blaue Jacke|den Schlüssel",
        "jeden Morgen|vor der Brücke|mitten im Park|mit beiden Händen|zum letzten Mal|ohne ein Wort|am Abend|"
        "neben dem Bahnhof|für die ganze Familie|nach einer langen Pause",
        "Wie geht es Ihnen heute?|Bitte öffnen Sie das Fenster.|Das ist aber eine Überraschung!|"
        "Ich habe heute leider keine Zeit.|Wo ist denn mein Hut?|Morgen wird es wahrscheinlich regnen.",
    ),
    "fr": (
        "ma mère|le jeune boulanger|notre voisin|un renard brun|la vieille dame|Paul|le professeur|mon ami|"
        "le petit garçon|personne d'autre|la chanteuse",
        "voit|achète|veut|peint|apporte|trouve|oublie|choisit|préfère|mange|regarde|aime beaucoup",
        "une grosse pomme rouge|le bateau en bois|du pain frais|la pleine lune|cinq petits paquets|le bon vin|"
        "la soupe chaude|un vieux livre|huit beaux oiseaux|une longue chanson|le fauteuil bleu|le journal",
        "chaque matin|devant la gare|au milieu du jardin|avec les deux mains|pour la dernière fois|sans un mot|"
        "lundi soir|près du pont|avec beaucoup de bonheur|pendant une heure",
        "Comment allez-vous aujourd'hui?|Je voudrais un peu d'eau.|Quelle bonne surprise!|"
        "Où est passé mon chapeau?|Il faut partir tout de suite.|On verra bien demain.",
    ),
    "es": (
        "mi madre|el joven panadero|nuestro vecino|un zorro pardo|la niña pequeña|Pablo|el viejo pescador|"
        "la maestra|alguien|mi hermano mayor",
        "ve|compra|quiere|pinta|trae|encuentra|olvida|busca|prefiere|guarda|escucha|lleva",
        "una manzana roja|el barco de madera|pan y mantequilla|la luna llena|cinco bolsas de papel|agua fresca|"
        "la sopa caliente|un libro viejo|ocho pájaros verdes|la llave de la puerta|el jardín|mucho queso",
        "cada mañana|delante de la iglesia|en medio del parque|con las dos manos|por última vez|sin decir nada|"
        "el jueves por la noche|cerca del puente|después de una pausa|para toda la familia",
        "¿Cómo está usted hoy?|Ábreme la ventana, por favor.|¡Qué sorpresa tan bonita!|Mañana va a llover.|"
        "¿Dónde está mi sombrero?|Hace mucho tiempo que te espero.",
    ),
    "it": (
        "mia madre|il giovane fornaio|il nostro vicino|una volpe bruna|la bambina|Paolo|il vecchio pescatore|"
        "la maestra|qualcuno|mio fratello",
        "vede|compra|vuole|dipinge|porta|trova|dimentica|cerca|preferisce|mangia|guarda|sceglie",
        "una mela rossa|la barca di legno|pane e burro|la luna piena|cinque pacchi di carta|acqua fresca|"
        "la zuppa calda|un vecchio libro|gli spaghetti|la chiave della porta|molto formaggio|otto uccelli",
        "ogni mattina|davanti alla chiesa|in mezzo al parco|con tutte e due le mani|per l'ultima volta|"
        "senza una parola|giovedì sera|vicino al ponte|dopo una lunga pausa|per tutta la famiglia",
        "Come sta oggi?|Apri la finestra, per favore.|Che bella sorpresa!|Domani forse piove.|"
        "Dov'è il mio cappello?|Ti aspettiamo da un'ora.",
    ),
    "ru": (
        "моя мама|молодой пекарь|наш сосед|рыжий кот|маленький мальчик|Павел|старый рыбак|мой брат|учитель|"
        "никто другой не",
        "видит|покупает|любит|рисует|приносит|находит|забывает|ищет|выбирает|бережёт|слушает|хвалит",
        "большое яблоко|новый пароход|хлеб и масло|полную луну|пять бумажных пакетов|чистую воду|горячий суп|"
        "старую книгу|вкусный пирог|ключ от двери|всю деревню|жёлтый зонтик",
        "каждое утро|перед вокзалом|в середине парка|двумя руками|в последний раз|без единого слова|"
        "в четверг вечером|у самого моста|после долгой паузы|для всей семьи",
        "Как вы себя чувствуете?|Откройте, пожалуйста, окно.|Какой приятный сюрприз!|Завтра будет дождь.|"
        "Где же моя шляпа?|Мы ждём тебя уже целый час.",
    ),
    "pt-br": (
        "minha mãe|o jovem padeiro|nosso vizinho|uma raposa|a menina|Paulo|o velho pescador|a professora|alguém",
        "vê|compra|quer|pinta|traz|encontra|esquece|procura|prefere|guarda|escuta|leva",
        "uma maçã vermelha|o barco de madeira|pão com manteiga|a lua cheia|cinco sacos de papel|água fresca|"
        "a sopa quente|um livro velho|oito pássaros|a chave da porta|muito queijo",
        "toda manhã|na frente da igreja|no meio do parque|com as duas mãos|pela última vez|sem dizer nada|"
        "na quinta à noite|perto da ponte|depois de uma pausa",
        "Como vai você hoje?|Abra a janela, por favor.|Que bela surpresa!|Onde está o meu chapéu?",
    ),
    "cmn": (
        "我妈妈|那个年轻人|我们的邻居|小朋友|老渔夫|她哥哥|新来的老师|有人",
        "看见了|买了|想要|画了|带来了|找到了|忘记了|喜欢|选择了",
        "一个大苹果|木头船|面包和牛奶|很圆的月亮|五个纸袋|一本旧书|热汤|蓝色的雨伞|那把钥匙",
        "，每天早上都这样|，在公园里|，用两只手|，最后一次|，一句话也没说|，在桥旁边|，为了全家",
        "你今天好吗？|请把窗户打开。|真是太巧了！|明天可能会下雨。|我的帽子在哪里？",
    ),
    "ja": (
        "わたしのははは|わかいパンやさんは|となりのひとは|こどもたちは|せんせいは|ともだちは|あにも",
        "あさはやく|こうえんで|さいごに|はしのそばで|りょうてで|なにもいわずに|きんようびに",
        "おおきなりんごを|ふねのえを|あたたかいスープを|ふるいほんを|まるいつきを|あおいかさを|しんぶんを",
        "みました。|かいました。|わすれました。|さがしています。|もってきました。|えらびます。",
        "きょうはおげんきですか。|まどをあけてください。|あしたはあめがふるでしょう。|ぼうしはどこですか。",
    ),
    "ko": (
        "우리 어머니는|젊은 빵집 주인이|이웃 사람은|어린 아이가|늙은 어부는|우리 선생님이|내 친구는",
        "매일 아침|공원에서|마지막으로|다리 옆에서|두 손으로|말없이|목요일 저녁에",
        "큰 사과를|나무 배를|따뜻한 국을|오래된 책을|둥근 달을|파란 우산을|열쇠를",
        "봅니다|샀습니다|잊었습니다|찾고 있습니다|가져왔습니다|고릅니다",
        "오늘 기분이 어떻습니까?|창문 좀 열어 주세요.|내일은 비가 올 겁니다.|제 모자가 어디 있어요?",
    ),
}

LANGUAGES = tuple(_WORDS)
"""Languages with built-in sentences."""


def sentence(random: np.random.Generator, language: str) -> str:
    """Make one sentence of about 1.5 to 4 seconds.

    Raises:
        InputError: If there are no words in this language.
    """
    if language not in _WORDS:
        raise InputError(f"there are no built-in sentences in {language!r}; choose from {', '.join(LANGUAGES)}.")
    *parts, whole = _WORDS[language]
    if random.random() < 0.15:
        return _pick(random, whole)
    chosen = [_pick(random, part) for part in parts]
    if random.random() < 0.3 and language not in _JOINED | {"ko"}:
        chosen.pop()
    joint = "" if language in _JOINED else " "
    text = joint.join(chosen).rstrip("。")
    stop = "。" if language in _JOINED else random.choice([".", ".", ".", "!", "?"])
    return text[0].upper() + text[1:] + str(stop)


def _pick(random: np.random.Generator, row: str) -> str:
    choices = row.split("|")
    return choices[int(random.integers(len(choices)))]
