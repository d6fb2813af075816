"""A replica's own key: made once, kept private, and good for exactly what was signed."""

import stat
from pathlib import Path

import pytest

from replication.signing_key import SIGNING_KEY_FILE, SigningKey, SigningKeyDamaged, is_signed, load_or_create


def test_the_first_start_makes_a_key_and_every_later_one_has_it(tmp_path: Path) -> None:
    first = load_or_create(tmp_path)
    path = tmp_path / SIGNING_KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create(tmp_path).public_key == first.public_key
    assert [entry.name for entry in tmp_path.iterdir()] == [SIGNING_KEY_FILE]
    other = tmp_path / "other"
    other.mkdir()
    assert load_or_create(other).public_key != first.public_key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_use_is_not_used(tmp_path: Path, mode: int) -> None:
    load_or_create(tmp_path)
    (tmp_path / SIGNING_KEY_FILE).chmod(mode)
    with pytest.raises(SigningKeyDamaged, match="chmod 600"):
        load_or_create(tmp_path)


@pytest.mark.parametrize("text", ["", "ab", "g" * 64, "é" * 64])
def test_a_damaged_key_is_neither_used_nor_replaced(tmp_path: Path, text: str) -> None:
    load_or_create(tmp_path)
    (tmp_path / SIGNING_KEY_FILE).write_text(text)
    with pytest.raises(SigningKeyDamaged, match="64 hexadecimal digits"):
        load_or_create(tmp_path)
    assert (tmp_path / SIGNING_KEY_FILE).read_text() == text


def test_the_signature_is_that_of_rfc_8032() -> None:
    """Section 7.1, test 2."""
    key = SigningKey(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert key.public_key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = key.sign(b"\x72")
    assert signature.hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert is_signed(key.public_key, signature, b"\x72")
    assert not is_signed(key.public_key, signature, b"\x73")
    assert not is_signed(key.public_key, signature[:-1], b"\x72")
    assert not is_signed(bytes(32), signature, b"\x72")
    assert not is_signed(b"short", signature, b"\x72")
