"""Numbers in names compare as numbers; where they may be read in two ways, the folder is refused."""

from pathlib import Path

import pytest

from framework.data.sources.file_order import in_order
from framework.errors import InputError


@pytest.mark.parametrize(
    "names",
    [
        "frame0 frame1 frame2 frame10 frame11",
        "00000 00001 00000002 00000010",
        "3 10 17 24",
        "0.0 0.04 0.08 0.12 0.16 0.2",
        "0 0.25 0.5 1 1.5 2",
        "t=0.04s t=0.12s t=0.2s",
        "1e-05 0.0001 0.5",
        "-3 -2 -1 0 1",
        "-1.5 -1 -0.5 0 0.5",
        "frame-2 frame-1 frame0 frame1",
        "-3 -2 -1",
        "-10 -9 -8",
        "-1.5 -1.25 -0.5 -0.25",
        "t_-3 t_-2",
        "t=-3 t=-2 t=-1",
        "t(-3) t(-2) t(-1)",
        "t-2 t-1 t+0 t+1 t+2",
        "\N{MINUS SIGN}2 \N{MINUS SIGN}1 0 1",
        "0,04 0,08 0,12 0,16 0,2",
        "0.25 0.5 0.75 1.0 1.25",
        "0.033 0.067 0.1 0.133 0.167",
        "998 999 1,000 1,001",
        "998 999 1.000 1.001",
        "1 1.125 1.5",
        "000e 000f 0010 0011",
        "8 9 a b c d e f 10 11",
        "a9 a10 b1 b2",
        "29-01-2024 30-01-2024 31-01-2024",
        "9-01~PM 9-02~PM 10-00~PM",
        "frame-0001 frame-0002 frame-0003",
        "2024-01-05 2024-01-06 2024-02-01",
        "2024.9.5 2024.10.1 2024.11.1",
        "9-59-58 9-59-59 10-00-00",
        "1.9 1.10 1.11",
        "shot1.0001 shot1.0002 shot2.0001",
        "IMG_0000 img_0001 IMG_0002",
        "0²1 1²0 2²3",
        "١ ٢ ٣ 10",
        "a b c d",
        "a1 b1 c1",
        "alone",
    ],
)
def test_order(names):
    ordered = [Path("clip") / f"{name.replace('~', ' ')}.png" for name in names.split()]
    assert in_order(ordered[::-1]) == ordered
    assert in_order(sorted(ordered, key=lambda path: path.name)) == ordered


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("00000.jpg 00000.png 00001.jpg 00001.png", "00000.jpg and 00000.png have one number"),
        ("01.png 1.png 2.png", "01.png and 1.png have one number"),
        ("0.jpg 1.jpg 2.jpg 1~(1).jpg", r"0.jpg and 1 \(1\).jpg are of two kinds"),
        ("img_0.png img_1.png img_0_mask.png img_1_mask.png", "are of two kinds; leave one kind"),
        ("img_0.png img_1.png mask_0.png mask_1.png", "are of two kinds"),
        ("0.png 1.png thumbnail.png", "0.png and thumbnail.png are of two kinds"),
        ("0.png 1.png 0-0.png 0-1.png", "are of two kinds"),
        ("t~-3.png t~-2.png", "may count down or up"),
        ("1.2.png 1.5.png 1.12.png", "may hold decimals or two counts"),
        ("1.png 2.png 1.125.png 1.250.png 3.375.png", "may hold decimals or two counts"),
        ("0007.png 0009.png 000a.png 0010.png", "may count in hexadecimal"),
        ("30-01-2024.png 31-01-2024.png 01-02-2024.png", "hold dates; begin them with the year"),
        ("1.31.2024.png 2.1.2024.png 12.31.2023.png", "hold dates; begin them with the year"),
        ("10-59~AM.png 01-00~PM.png", "count hours twice a day"),
        ("3f2a.png 30ab.png 1e44.png", "may count in hexadecimal"),
    ],
)
def test_doubt_names_two_files(names, words):
    files = [Path("clip") / name.replace("~", " ") for name in names.split()]
    with pytest.raises(InputError, match=f"^clip: the order of its images is in doubt: .*{words}"):
        in_order(files)
