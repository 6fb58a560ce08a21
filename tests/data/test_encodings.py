"""Tables of names have hardly a common character, and are read all the same; what is not Chinese is
not taken for it."""

import random
from pathlib import Path

import pytest

from xinye.data.encodings import detect_encoding
from xinye.errors import XinyeError

PRICES = """\
品名,规格,单价,产地
红富士苹果,5公斤/箱,68.00,山东烟台
赣南脐橙,10斤/箱,59.90,江西赣州
库尔勒香梨,4公斤/箱,75.00,新疆库尔勒
五常大米,10公斤/袋,89.00,黑龙江五常
金龙鱼花生油,5升/桶,139.90,广东深圳
海天酱油,500毫升/瓶,12.50,广东佛山
镇江香醋,550毫升/瓶,9.80,江苏镇江
郫县豆瓣酱,1公斤/罐,18.00,四川成都
涪陵榨菜,80克/袋,2.50,重庆涪陵
西湖龙井,250克/盒,268.00,浙江杭州
铁观音,500克/盒,198.00,福建安溪
金华火腿,1.5公斤/只,318.00,浙江金华
阳澄湖螃蟹,8只/盒,399.00,江苏苏州
哈密瓜,2公斤/个,29.90,新疆哈密
烟台樱桃,1公斤/盒,88.00,山东烟台
平遥牛肉,400克/袋,46.00,山西平遥
云南普洱茶,357克/饼,168.00,云南普洱
绍兴黄酒,500毫升/瓶,25.00,浙江绍兴
东北木耳,250克/袋,45.00,黑龙江牡丹江
宁夏枸杞,500克/袋,56.00,宁夏中宁
"""
STAFF = """\
姓名,部门,职务,电话
张伟,财务部,经理,010-62341101
王芳,人事部,主管,010-62341102
李娜,市场部,专员,010-62341103
刘洋,技术部,工程师,010-62341104
陈静怡,行政部,助理,010-62341105
杨帆,销售部,总监,010-62341106
赵敏,采购部,主管,010-62341107
黄磊,仓储部,组长,010-62341108
周婷婷,客服部,专员,010-62341109
吴昊,技术部,架构师,010-62341110
徐丽,财务部,会计,010-62341111
孙鹏飞,物流部,司机,010-62341112
胡晓燕,法务部,律师,010-62341113
朱琳,市场部,策划,010-62341114
高翔,质检部,检验员,010-62341115
林志强,生产部,车间主任,010-62341116
何雪梅,培训部,讲师,010-62341117
郭鑫,安保部,队长,010-62341118
"""
TRADITIONAL = """\
姓名,部門,職務,電話
張偉,財務部,經理,02-23411101
王芳,人事部,主管,02-23411102
李娜,市場部,專員,02-23411103
劉洋,技術部,工程師,02-23411104
陳靜怡,行政部,助理,02-23411105
楊帆,銷售部,總監,02-23411106
趙敏,採購部,主管,02-23411107
黃磊,倉儲部,組長,02-23411108
周婷婷,客服部,專員,02-23411109
吳昊,技術部,架構師,02-23411110
徐麗,財務部,會計,02-23411111
孫鵬飛,物流部,司機,02-23411112
林志強,生產部,車間主任,02-23411116
何雪梅,培訓部,講師,02-23411117
郭鑫,安保部,隊長,02-23411118
"""
HERBS = """\
药材,产地
枸杞,宁夏
茯苓,云南
芍药,亳州
黄芪,陇西
当归,岷县
白芷,遂宁
藿香,广东
薏苡仁,贵州
桔梗,赤峰
栀子,江西
川芎,都江堰
半夏,贵州
柴胡,山西
党参,文县
甘草,新疆
杜仲,略阳
"""
KOREAN = "이름,부서,직책\n한하늘,회계부,회장\n황호현,홍보부,확인\n홍희현,화학부,학회\n" * 4
JAPANESE = "品名,価格,産地\nりんご,100円,青森県\n牛肉,3000円,神戸市\n緑茶,500円,静岡県\n" * 4


@pytest.mark.parametrize(
    ("text", "encoding", "detected"),
    [
        (PRICES, "gbk", "gb18030"),
        (STAFF, "gbk", "gb18030"),
        (STAFF * 200, "gbk", "gb18030"),  # the sample ends within a character
        (HERBS, "gbk", "gb18030"),  # of which many characters are rare
        (TRADITIONAL, "big5", "big5hkscs"),
    ],
)
def test_a_chinese_table_of_names(tmp_path: Path, text: str, encoding: str, detected: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))
    assert detect_encoding(path) == detected


@pytest.mark.parametrize(
    "raw",
    [
        KOREAN.encode("euc_kr"),
        JAPANESE.encode("euc_jp"),
        JAPANESE.encode("shift_jis"),
        "Le café était très bon; à côté de l'hôtel, l'été est agréable.\n".encode("latin-1") * 4,
        "ÀÉÈ ÇÀ, ÊÎÔ\n".encode("latin-1") * 9,
        "Весенним утром я гулял по саду.\n".encode("koi8-r") * 4,
        random.Random(0).randbytes(400).replace(b"\0", b"\xff"),
        bytes(random.Random(0).choices(range(0xA1, 0xFF), k=400)),
    ],
)
def test_what_is_not_chinese(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(raw)
    try:
        assert detect_encoding(path) not in ("gb18030", "big5hkscs")
    except XinyeError as error:
        assert "no other encoding fits" in str(error)


def test_a_price_list_of_excel_answers(xinye, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prices.csv").write_bytes(PRICES.encode("gbk").replace(b"\n", b"\r\n"))
    assert xinye("knowledge", "build", "prices.csv", "-o", "kb").code == 0
    assert "安溪" in xinye("knowledge", "search", "kb", "铁观音的产地", "-n", "1").out
