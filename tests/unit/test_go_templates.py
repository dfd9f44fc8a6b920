"""Go templates in plans of regsync, filled in as far as that is possible before a run."""

from __future__ import annotations

import pytest

from registry_push.verbs.conversion.converted import Unconvertible
from registry_push.verbs.conversion.templates import TAG_MARK, backup_tag, expanded

FIELDS = {".Sync.Source": "gcr.io/me/Model", ".Sync.Type": "image"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("example.org/a", "example.org/a"),
        ("example.org/{{ .Sync.Source }}", "example.org/gcr.io/me/Model"),
        ("example.org/{{.Sync.Source}}-{{.Sync.Type}}", "example.org/gcr.io/me/Model-image"),
        ('{{ index (split .Sync.Source "gcr.io/") 1 }}', "me/Model"),
        ('{{ index (split .Sync.Source "/") 2 | lower }}', "model"),
        ('{{ split "b,a" "," | join "x" }}', None),
        ('{{ join (split "a,b" ",") "-" }}', "a-b"),
        ('{{ printf "%s/%s" "a" (upper "b") }}', "a/B"),
        ('{{ printf "%03d" 7 }}', "7"),
        ("{{ print `a` }}", "a"),
        ('{{ "a\\"b" | trimSpace }}', 'a"b'),
        ("{{ $s := .Sync.Type }}x/{{ $s }}", "x/image"),
        ("a {{- .Sync.Type -}} b", "aimageb"),
        ("{{ .Sync.Target }}", None),
        ("{{ .Sync.Source", None),
        ("{{ }}", None),
        ("{{ $missing }}", None),
        ('{{ env "HOME" }}', None),
        ('{{ file "/etc/passwd" }}', None),
        ("{{ if .Sync.Type }}a{{ end }}", None),
        ('{{ index (split "a" ",") 5 }}', None),
        ('{{ split "a" "" }}', None),
        ('{{ printf "%s" }}', None),
        ('{{ printf "%q" "a" }}', None),
        ('{{ printf "a" "b" }}', None),
        ('{{ "a" "b" }}', None),
        ('{{ .Sync.Type "b" }}', None),
        ("{{ (((((((((((((1))))))))))))) }}", None),
        ("{{ 'a' }}", None),
        ('{{ "\\n" }}', None),
        ("{{ time }}", None),
        (TAG_MARK, None),
        ("a" * 3000, None),
    ],
)
def test_a_template_is_filled_in_or_refused(template: str, text: str | None) -> None:
    if text is not None:
        assert expanded(template, FIELDS) == text
        return
    with pytest.raises(Unconvertible):
        expanded(template, FIELDS)


@pytest.mark.parametrize(
    ("template", "ours"),
    [
        ("bkup-{{.Ref.Tag}}", "bkup-{tag}"),
        (" {{ .Ref.Tag }}-old ", "{tag}-old"),
        ('{{ printf "%s-old" .Ref.Tag }}', "{tag}-old"),
        ('{{.Ref.Tag}}-{{ time.Now.Format "2006-01-02" }}', "{tag}-{date}"),
        ('{{.Ref.Tag}}-{{ (time.Now).Format "20060102" }}', "{tag}-{date}"),
        ('{{.Ref.Tag}}-{{ time.Now.UTC.Format "02.01.2006" }}', "{tag}-{date}"),
        ('{{$t := time.Now}}{{printf "%s-%d%02d%02d" .Ref.Tag $t.Year $t.Month $t.Day}}', "{tag}-{date}"),
        ('{{.Ref.Tag}}-{{ time.Now.Format "15:04" }}', None),
        ('{{.Ref.Tag}}-{{ time.Now.Format "2006" }}', None),
        ("{{.Ref.Tag}}-{{ time.Now.Unix }}", None),
        ("{{.Ref.Tag}}-{{ time.Now }}", None),
        ("{{ upper .Ref.Tag }}-old", None),
        ("backup", None),
        ("{{.Ref.Tag}}", None),
        ("{tag}-old", None),
        ("{{.Ref.Registry}}/backups/{{.Ref.Repository}}:{{.Ref.Tag}}", None),
        ("{{.Ref.Tag}}-{{.Sync.Source}}", None),
    ],
)
def test_a_backup_is_a_tag_beside_or_refused(template: str, ours: str | None) -> None:
    if ours is not None:
        assert backup_tag(template) == ours
        return
    with pytest.raises(Unconvertible):
        backup_tag(template)
