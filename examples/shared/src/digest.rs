//! The monitor's challenge of `chat_server`: HMAC with SHA-256 (RFC 2104, FIPS 180-4) in hexadecimal digits.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// What whoever knows `key` answers to `message`.
pub fn hmac(key: &[u8], message: &[u8]) -> String {
    let keyed = Hmac::<Sha256>::new_from_slice(key);
    let mut mac = keyed.expect("HMAC takes a key of any length");
    mac.update(message);
    let digest = mac.finalize().into_bytes();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes as long for a wrong first byte as for a wrong last one.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases 2, 1 and 6 of RFC 4231: a short key, one with bytes that are no text, one longer than a block.
    #[test]
    fn hmac_is_that_of_rfc_4231() {
        for (key, message, digest) in [
            (
                &b"Jefe"[..],
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0x0b; 20],
                "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                &[0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hmac(key, message.as_bytes()), digest, "{message:?}");
        }
    }

    #[test]
    fn only_the_same_bytes_are_the_same() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        for other in ["", "ab", "abcd", "abd", "bbc"] {
            assert!(!same(b"abc", other.as_bytes()), "{other}");
        }
    }
}
