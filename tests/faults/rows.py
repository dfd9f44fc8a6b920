"""The table of faults: each class of them, what is injected, and the tests that do so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_HERE: Final = "tests/faults/test_named_faults.py::"
_JOURNALS: Final = "tests/faults/test_journals.py::"
_RESUME: Final = "tests/integration/test_resume.py::"
_DAMAGE: Final = "tests/integration/test_damage.py::"
_UNIT: Final = "tests/unit/"
_SERVE: Final = "tests/integration/test_serve"

ROWS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "transport": {
        "reset in a body": (_HERE + "test_a_reset_in_a_body_costs_what_the_registry_forgets",),
        "truncated or garbled answer": (
            _HERE + "test_an_answer_that_is_lost_or_broken_is_asked_for_and_nothing_is_done_twice",
        ),
        "stall": (_HERE + "test_a_stall_ends_with_the_timeout_and_is_gone_on_from",),
        "early answer": (
            _HERE + "test_an_early_answer_to_a_body_is_gone_on_from",
            _UNIT + "test_payload.py::test_an_early_413_is_seen_and_stops_the_body",
        ),
        "DNS failure": (_UNIT + "test_transport.py::test_an_unknown_host_is_called_unknown",),
        "proxy 407": (_UNIT + "test_transport.py::test_a_proxy_that_wants_a_login_is_blamed_itself",),
        "proxy 502": (_HERE + "test_a_proxy_that_answers_502_is_6_and_blamed_itself",),
        "TLS expired, wrong host": (
            _UNIT + "test_tls.py::test_a_trusted_ca_does_not_make_up_for_a_wrong_host_or_date",
        ),
        "bounded retries; code 6": (
            _HERE + "test_a_line_that_never_gets_better_ends_with_6_and_the_next_push_goes_on",
        ),
    },
    "server": {
        "storm of 5xx": (_HERE + "test_a_storm_of_5xx_is_bounded_and_ends_with_6",),
        "429 with and without Retry-After": (_HERE + "test_retry_after_is_honoured_and_capped",),
        "lost 201": (
            _HERE + "test_an_answer_that_is_lost_or_broken_is_asked_for_and_nothing_is_done_twice",
            _UNIT + "test_upload.py::test_a_lost_answer_to_the_commit_asks_head_before_anything_is_done_twice",
        ),
        "201 with another digest": (_HERE + "test_201_with_another_digest_is_7_and_never_success",),
    },
    "session": {
        "404": (_HERE + "test_a_session_that_is_forgotten_begins_again_and_says_so",),
        "416 ahead, behind, unparseable": (_HERE + "test_a_416_is_reconciled_and_nothing_is_sent_twice",),
        "Location relative or changed": (_HERE + "test_a_location_is_followed_however_it_is_written",),
        "Range off by one": (
            _HERE + "test_a_range_that_is_off_after_a_chunk_costs_no_byte",
            _HERE + "test_a_status_that_lies_about_the_offset_is_survived",
        ),
        "expired": (_HERE + "test_a_session_that_expired_between_two_pushes_begins_again",),
        "two sessions": (_RESUME + "test_two_processes_send_a_blob_once",),
    },
    "chunks": {
        "413": (
            _HERE + "test_a_limit_that_shrinks_under_way_is_found_and_kept_to",
            _HERE + "test_413_at_the_smallest_chunk_is_5",
            "tests/integration/test_push.py::test_a_limit_on_requests_is_found_once_and_remembered",
        ),
        "416 with an unmoved offset": (_UNIT + "test_upload.py::test_ghcr_416_with_an_unmoved_offset_is_about_size",),
        "minimum and maximum chunk": (_UNIT + "test_upload.py::test_a_minimum_chunk_is_honoured_and_a_maximum_too",),
    },
    "auth": {
        "token ends in a PATCH": (_HERE + "test_a_token_that_ends_in_a_patch_is_renewed_once_and_no_byte_is_lost",),
        "presigned URL 403": (_HERE + "test_a_presigned_url_that_is_403_is_asked_for_again",),
        "skewed clock": (_HERE + "test_a_skewed_clock_is_4_and_reported",),
        "endless 401": (_HERE + "test_an_endless_401_ends_with_4",),
        "challenge without realm": (_HERE + "test_a_challenge_without_a_realm_is_4_at_once",),
        "one refresh at a time": (_UNIT + "test_tokens.py::test_many_requests_at_once_sign_in_once",),
    },
    "disk": {
        "EIO": (
            _UNIT + "test_body.py::test_disk_that_cannot_read",
            _UNIT + "test_ollama_blobs.py::test_a_failing_disk_is_no_missing_blob",
        ),
        "blob short, long, missing, symlink out of the store, FIFO": (_DAMAGE + "test_damage_is_never_committed",),
        "changed while read": (
            _HERE + "test_a_blob_that_changes_while_it_is_read_is_7_and_mended_goes_through",
            _DAMAGE + "test_content_that_changes_while_it_is_sent_is_never_committed",
        ),
        "state disk full": (_JOURNALS + "test_a_full_state_disk_is_a_warning_and_the_push_succeeds",),
    },
    "process": {
        "kill -9 anywhere": (_RESUME + "test_a_killed_push_goes_on",),
        "torn or zeroed state": (_JOURNALS + "test_a_damaged_journal_is_a_warning_and_the_push_succeeds",),
        "two pushers": (_RESUME + "test_two_processes_send_a_blob_once",),
        "SIGTERM": (_RESUME + "test_a_stopped_push_finishes_its_chunk_and_goes_on_without_a_byte_twice",),
        "Ctrl-C twice": (
            "tests/integration/test_command.py::test_two_signals_end_at_once_with_130_and_commit_nothing",
        ),
    },
    "hostile": {
        "huge or deep JSON": (
            _UNIT + "test_diagnostics.py::test_a_hostile_body_ends_in_a_short_line",
            _UNIT + "test_client.py::test_a_huge_answer_is_not_read_to_its_end",
            _UNIT + "test_manifest.py::test_cve_2025_1975_odd_json_is_a_manifest_or_corrupt",
        ),
        "compressed bomb": (
            _UNIT + "test_client.py::test_cve_2024_12886_a_bomb_from_a_registry_stays_packed_and_none_was_asked_for",
            _UNIT + "test_client.py::test_cve_2024_12886_a_bomb_from_a_token_service_stays_packed",
        ),
        "redirect loop": (_UNIT + "test_client.py::test_a_redirect_loop_ends",),
        "a million layers": (_UNIT + "test_manifest.py::test_a_million_layers_are_refused_before_they_are_read",),
        "negative or huge size": (
            _UNIT + "test_manifest.py::test_ghsa_f36w_mj3v_6jqv_a_size_is_an_int64",
            _UNIT + "test_manifest.py::test_ghsa_f36w_mj3v_6jqv_a_huge_size_allocates_nothing",
        ),
        "control characters in messages": (
            _UNIT + "test_diagnostics.py::test_escape_sequences_of_a_registry_do_not_act_on_the_terminal",
        ),
    },
    "secrets": {
        "readable key file": ("tests/integration/test_command.py::test_a_key_that_others_can_read_is_warned_of",),
        "tokens and presigned queries in logs, errors, --json": (
            _HERE + "test_no_secret_is_in_any_event_or_error",
            _UNIT + "test_location.py::test_the_error_about_a_location_keeps_its_query_to_itself",
        ),
        "journal dumps": (_UNIT + "test_journal.py::test_its_files_are_for_their_owner_alone",),
    },
    "daemon": {
        "foreign Host": (_SERVE + "_attacks.py::test_foreign_host_is_403_cve_2024_28224",),
        "foreign Origin": (_SERVE + "_attacks.py::test_foreign_origin_is_403_and_nothing_is_pushed",),
        "slow body": (_SERVE + "_floods.py::test_a_slow_body_is_408",),
        "giant body": (
            _SERVE + "_floods.py::test_a_giant_body_is_413_before_it_is_sent",
            _SERVE + "_floods.py::test_a_giant_body_of_unknown_length_is_413_when_it_gets_too_long",
        ),
        "push to a target outside the allow-list": (
            _SERVE + "_attacks.py::test_a_target_outside_the_list_is_403_and_never_reached_cve_2026_7482",
        ),
        "client gone": (
            _SERVE + "_shared.py::test_the_last_client_that_leaves_ends_its_push_and_a_later_one_goes_on",
            _SERVE + "_shared.py::test_a_client_that_does_not_stream_cancels_by_leaving_too",
        ),
        "a hundred clients": (_SERVE + "_hundred.py::test_a_hundred_clients",),
    },
}
