"""Plans of other tools, converted to plans of `sync`: skopeo-sync's and regsync's YAML. Text in, text and notes out."""

from .converted import Converted as Converted
from .converted import Note as Note
from .regsync import converted_regsync as converted_regsync
from .skopeo import converted_skopeo as converted_skopeo
