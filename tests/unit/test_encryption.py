"""How much is encrypted at once: less when many bodies are in flight, since each has it in memory several times."""

from __future__ import annotations

from registry_push.http.body.encryption import ENCRYPTED_AT_ONCE, encrypted_at_once


def test_a_body_that_is_alone_has_large_pieces_once_it_is_clear_that_it_stays_so() -> None:
    assert encrypted_at_once(bodies=1, is_first_chunk=False, is_near=False) == ENCRYPTED_AT_ONCE
    assert encrypted_at_once(bodies=1, is_first_chunk=True, is_near=False) < ENCRYPTED_AT_ONCE


def test_many_bodies_have_smaller_pieces_and_the_smallest_on_a_long_line() -> None:
    near = encrypted_at_once(bodies=8, is_first_chunk=False, is_near=True)
    assert encrypted_at_once(bodies=8, is_first_chunk=False, is_near=False) < near < ENCRYPTED_AT_ONCE
