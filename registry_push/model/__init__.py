"""Values. Pure: parsed once at the edge, then trusted."""

from .descriptor import Descriptor
from .digest import Digest
from .local_reference import LocalReference
from .manifest import Manifest
from .name import ModelName
from .origin import HTTPOrigin
from .reference import Reference
from .upload_key import UploadKey

__all__ = ["Descriptor", "Digest", "HTTPOrigin", "LocalReference", "Manifest", "ModelName", "Reference", "UploadKey"]
