"""The words, numbers, prices and dates of drawn pictures, and one of them changed as people change them.
Knows no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final, TypeVar

import numpy as np

from tests.worlds.wording.truth import is_han

T = TypeVar("T")
Chance = np.random.Generator

BRANDS = (
    "Harvest Farm",
    "Northwind",
    "Blue Valley",
    "Golden Mill",
    "Casa Verde",
    "Redwood & Co",
    "Alpenhof",
    "Sunny Days",
)
PRODUCTS = (
    *("Strawberry Jam", "Green Tea", "Dark Chocolate", "Olive Oil", "Orange Juice", "Wild Honey", "Whole Milk"),
    *("Tomato Soup", "Almond Butter", "Sea Salt", "Coffee Beans", "Rice Noodles"),
)
SENTENCES = (
    *(
        "Store in a cool, dry place.",
        "Keep away from direct sunlight.",
        "Shake well before use.",
        "Contains milk and nuts.",
    ),
    *(
        "Ingredients: sugar, fruit, pectin.",
        "Refrigerate after opening.",
        "Made with organic fruit.",
        "No added colours.",
    ),
    *("Produced and packed in Spain.", "Serve cold with fresh mint.", "Suitable for vegetarians.", "Do not freeze."),
)
FIELDS = ("Energy", "Protein", "Carbohydrate", "Sugars", "Fat", "Salt", "Fibre", "Calcium")
METRICS = ("Revenue", "Orders", "Active users", "Refunds", "Sessions", "Net profit", "New customers", "Conversion")
MENU = ("Overview", "Reports", "Customers", "Inventory", "Settings", "Billing", "Messages", "Support", "Payments")
ACTIONS = (
    "Save changes",
    "Cancel",
    "Export CSV",
    "Send invite",
    "Delete file",
    "Add member",
    "Apply filter",
    "Sign out",
)
NAMES = ("Anna Berger", "Tom Miller", "Julia Novak", "David Chen", "Maria Rossi", "Peter Hansen", "Emma Dubois")
CITIES = ("Berlin", "Madrid", "Lisbon", "Vienna", "Oslo", "Dublin", "Zagreb", "Munich", "Boston")

HAN_BRANDS = ("丰收农场", "山水人家", "青山绿水", "老城味道", "阳光果园", "江南小镇", "北方牧场")
HAN_PRODUCTS = (
    "草莓果酱",
    "有机绿茶",
    "山西陈醋",
    "纯牛奶",
    "东北大米",
    "花生酱",
    "蜂蜜柚子茶",
    "红烧牛肉面",
    "橙汁饮料",
)
HAN_SENTENCES = (
    *("请置于阴凉干燥处保存", "开封后请冷藏并尽快食用", "饮用前请摇匀", "配料：水、白砂糖、草莓", "本品含有牛奶和花生"),
    *("不添加防腐剂", "产地：江苏省南京市", "适合全家人食用", "请勿放入微波炉加热", "生产许可证编号见包装"),
)
HAN_FIELDS = ("能量", "蛋白质", "脂肪", "碳水化合物", "膳食纤维", "钙")
HAN_METRICS = ("销售收入", "订单数量", "活跃用户", "退款金额", "访问次数", "净利润", "新增客户", "转化率")
HAN_MENU = ("首页概览", "数据报表", "客户管理", "库存管理", "系统设置", "财务账单", "消息中心", "帮助文档")
HAN_ACTIONS = ("保存修改", "取消操作", "导出表格", "发送邀请", "删除文件", "添加成员", "应用筛选", "退出登录")
HAN_STATES = (
    "订单已付款",
    "支付成功",
    "左侧菜单栏",
    "打开消息提醒",
    "上一页内容",
    "收件人地址",
    "男士运动鞋",
    "南京路分店",
)

SWAPS: Final[tuple[tuple[str, ...], ...]] = (
    *(("Strawberry", "Raspberry"), ("Green", "Black"), ("Dark", "Milk"), ("Orange", "Apple"), ("Olive", "Sesame")),
    *(("Wild", "Pure"), ("Whole", "Skim"), ("Tomato", "Potato"), ("Almond", "Peanut"), ("Coffee", "Cocoa")),
    *(("cool", "warm"), ("sugar", "honey"), ("milk", "soya"), ("cold", "hot"), ("organic", "ripe"), ("Spain", "Italy")),
    *(
        ("before", "after"),
        ("Save", "Drop"),
        ("Export", "Import"),
        ("Delete", "Rename"),
        ("Add", "Edit"),
        ("in", "out"),
    ),
    *(
        ("Reports", "Exports"),
        ("Customers", "Partners"),
        ("Billing", "Pricing"),
        ("Berlin", "Bremen"),
        ("Oslo", "Rome"),
    ),
    *(
        ("Anna", "Hanna"),
        ("Tom", "Tim"),
        ("Julia", "Julian"),
        ("Revenue", "Expenses"),
        ("New", "Lost"),
        ("Net", "Gross"),
    ),
)
HAN_SWAPS: Final[tuple[str, ...]] = (
    *("草蓝", "绿红", "陈香", "纯鲜", "东西", "南北", "花芝", "大小", "冷热", "含无", "前后", "京宁", "全合", "阴清"),
    *("销总", "增减", "净毛", "退付", "客租", "报账", "导输", "删新", "添移", "保留", "左右", "上下", "收发", "男女"),
    *("已未", "成失", "开关", "打拆", "登注", "糖盐", "橙桃", "蜂枫", "牛羊", "山陕", "库仓", "帮求"),
)
DIGITS: Final = "0123456789"
LETTERS: Final = "ABCDEFGHJKMNPRTUVWXY"  # none that is a digit's twin


def one(chance: Chance, several: Sequence[T]) -> T:
    return several[int(chance.integers(len(several)))]


def some(chance: Chance, several: Sequence[T], count: int) -> list[T]:
    """Different ones."""
    return [several[int(at)] for at in chance.permutation(len(several))[:count]]


def digits(chance: Chance, count: int) -> str:
    return "".join(one(chance, DIGITS) for _ in range(count))


def price(chance: Chance, symbols: str = "¥$€", *, dear: float = 0.4) -> str:
    """`dear`: how often it may be more than 99."""
    whole = int(chance.integers(3, 2500) if chance.random() < dear else chance.integers(3, 99))
    cents = one(chance, ("00", "50", "80", "90", "95", "99", digits(chance, 2)))
    return f"{one(chance, symbols)}{whole:,}.{cents}"


def day(chance: Chance, *, chinese: bool = False) -> str:
    year, month, date = 2024 + int(chance.integers(5)), 1 + int(chance.integers(12)), 1 + int(chance.integers(28))
    name = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"][month - 1]
    forms = [f"{year}-{month:02}-{date:02}", f"{year}/{month:02}/{date:02}", f"{date:02}.{month:02}.{year}"]
    forms += [f"{year}年{month}月{date}日"] * 3 if chinese else [f"{date:02} {name} {year}"]
    return one(chance, forms)


def lot(chance: Chance) -> str:
    return one(chance, LETTERS) + digits(chance, int(chance.integers(4, 7)))


def number(chance: Chance) -> str:
    return f"{int(chance.integers(1_000, 98_000)):,}" if chance.random() < 0.7 else f"{chance.uniform(1, 99):.1f}K"


def share(chance: Chance) -> str:
    return f"{one(chance, '+-')}{chance.uniform(0.1, 29):.1f}%"


def clock(chance: Chance) -> str:
    return f"{int(chance.integers(24)):02}:{int(chance.integers(60)):02}"


def amended(chance: Chance, text: str) -> str | None:
    """`text` with one digit, sign, word or Chinese character another, still more alike than not; None: it has none
    that can be changed."""
    ways = _renumbered(chance, text) + _resigned(text) + _reworded(text)
    ways = [way for way in ways if SequenceMatcher(None, text, way, autojunk=False).ratio() >= 0.6]
    return one(chance, ways) if ways else None


def recharactered(chance: Chance, text: str) -> str | None:
    """With one Chinese character another."""
    ways = [way for way in _reworded(text) if len(way) == len(text) and any(map(is_han, way))]
    return one(chance, ways) if ways else None


def _renumbered(chance: Chance, text: str) -> list[str]:
    places = [at for at, letter in enumerate(text) if letter in DIGITS]
    ways = []
    for _ in range(4 if places else 0):  # as often drawn as all other ways together, about
        at = one(chance, places)
        other = one(chance, DIGITS.replace(text[at], ""))
        ways.append(text[:at] + other + text[at + 1 :])
    return ways


def _resigned(text: str) -> list[str]:
    if text[:1] in ("+", "-") and text.endswith("%"):
        return [("-" if text[0] == "+" else "+") + text[1:]]
    return []


def _reworded(text: str) -> list[str]:
    ways = []
    words = text.split(" ")
    for old, new in (pair for both in SWAPS for pair in (both, both[::-1])):
        ways += [" ".join([*words[:at], new, *words[at + 1 :]]) for at, word in enumerate(words) if word == old]
    for old, new in (pair for one_way in map(tuple, HAN_SWAPS) for pair in (one_way, one_way[::-1])):
        ways += [text[:at] + new + text[at + 1 :] for at, letter in enumerate(text) if letter == old]
    return ways
