"""Results in the formats that the official tools and servers read: `FORMATS` by name, `export` to write one."""

from collections.abc import Mapping
from types import MappingProxyType

from framework.benchmarks.export import ExportInput, Format, export, problems
from framework.benchmarks.export_boxes import GOT10K, LASOT, TRACKINGNET
from framework.benchmarks.export_masks import DAVIS, LVOS, MOSE, SAV, YOUTUBE_VOS
from framework.benchmarks.export_vot import DIDI, VOT, VOT_BINARY

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "didi": DIDI,
        "vot": VOT,
        "vot_binary": VOT_BINARY,
        "got10k": GOT10K,
        "trackingnet": TRACKINGNET,
        "lasot": LASOT,
        "davis": DAVIS,
        "mose": MOSE,
        "lvos": LVOS,
        "ytvos": YOUTUBE_VOS,
        "sav": SAV,
    }
)

__all__ = ["FORMATS", "ExportInput", "Format", "export", "problems"]
