"""The attacks that this program is tried against. A test joins a row by `@pytest.mark.attack(NAME)`."""

from __future__ import annotations

from typing import Final, NamedTuple


class Row(NamedTuple):
    """An attack: its name, as markers have it, and what it does or breaks, in one sentence."""

    name: str
    description: str


ROWS: Final = (
    Row("S1", "An upload session that is broken for good blocks every later push of its model."),
    Row("S2", "A registry makes us send requests of its choice: smuggled headers, Locations to internal addresses."),
    Row("S3", "A captive portal, or any server that answers 2xx to everything, passes for a push that worked."),
    Row("S4", "The password in a proxy's or a target's URL is printed, logged or returned to clients."),
    Row("S5", "The service sends its own login or signature in clear text because a client asked for http."),
    Row("S6", "A registry echoes our Authorization or a signed URL in its error, and we print it."),
    Row("S7", "An answer never ends: floods of 1xx, heads and bodies that drip, endless chunk extensions."),
    Row("S8", "A failing source disk, or too few descriptors, is told as a broken line or a damaged file."),
    Row("S9", "A manifest, name or header writes lines and escape sequences of its own into the service's log."),
    Row("S10", "A crafted error message or challenge makes a regular expression block the event loop."),
    Row("S11", "One hung registry and one client of the service starve all the others."),
    Row("S12", "A file that changes during its single PUT is committed and shown as success."),
    Row("S13", "A manifest list inside a list is pushed without the manifests that it names."),
    Row("S14", "The journal is a link, belongs to others, is open to others, or holds damaged rows."),
    Row("S15", "Odd input ends in a traceback, the wrong exit code, a hang or hidden characters on the terminal."),
    Row("S16", "An archive, a volume or a folder from across an air gap lies about what it is and what is in it."),
    Row("CVE-2021-41092", "Logins for private registries are sent to Docker Hub."),
    Row("CVE-2021-41190", "A manifest with both `layers` and `manifests` is read in two ways."),
    Row("CVE-2024-12886", "A compressed bomb in a token or error answer exhausts the memory."),
    Row("CVE-2024-28224", "DNS rebinding lets a web page use the service."),
    Row("CVE-2024-37032", "A digest with `../` becomes a path outside the store."),
    Row("CVE-2024-39722", "The push API reveals whether files exist."),
    Row("CVE-2024-45436", "An archive writes outside the folder that it is unpacked to."),
    Row("CVE-2025-1975", "An odd manifest ends in an index error."),
    Row("CVE-2025-24882", "Content that is asked for by digest is answered with another, and taken."),
    Row("CVE-2025-4330", "A link in an archive leads outside, past the extraction filter."),
    Row("CVE-2025-4517", "An archive writes outside by an overlong path, past the extraction filter."),
    Row("CVE-2025-51471", "A realm at another host is given a signed token request."),
    Row("CVE-2025-63389", "The management API is open to the whole net."),
    Row("CVE-2026-33540", "A realm at another host is given the login."),
    Row("CVE-2026-34518", "Cookies survive a redirect to another origin."),
    Row("CVE-2026-47265", "A proxy's login survives a redirect to another origin."),
    Row("CVE-2026-48978", "A realm at a metadata address, or without TLS, is given the login."),
    Row("CVE-2026-50151", "A Location at another origin is given the Authorization header."),
    Row("CVE-2026-85180", "A registry chooses the headers of a request, and smuggles another one after it."),
    Row("CVE-2026-7020", "Text after a digest becomes part of a path."),
    Row("CVE-2026-7482", "The push API sends models to an attacker's registry."),
    Row("GHSA-f36w-mj3v-6jqv", "A huge size in a descriptor becomes an allocation."),
    Row("GHSA-qvqc-4c52-x6qp", "URLs that a registry names at other origins are given the Authorization header."),
    Row("GHSA-vh4v-2xq2-g5cg", "A redirect to another port or scheme keeps the Authorization header."),
)
# Rows whose tests are still being written. One that has tests does not belong here: the table fails for it.
AWAITED: Final = frozenset[str]()
