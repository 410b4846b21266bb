//! HMAC with SHA-256 (RFC 2104, FIPS 180-4), for the monitor's challenge. A program with more to hash takes a library.

const BLOCK: usize = 64;

/// What whoever knows `key` answers to `message`, in hexadecimal digits.
pub fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut pad = [0; BLOCK];
    if key.len() > BLOCK {
        pad[..32].copy_from_slice(&sha256(key));
    } else {
        pad[..key.len()].copy_from_slice(key);
    }
    let inner = sha256(&[&pad.map(|byte| byte ^ 0x36)[..], message].concat());
    let outer = sha256(&[&pad.map(|byte| byte ^ 0x5c)[..], &inner].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes as long for a wrong first byte as for a wrong last one.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

fn sha256(message: &[u8]) -> [u8; 32] {
    let (k, mut state) = constants();
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(BLOCK) - 8, 0);
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(BLOCK) {
        compress(&mut state, &k, block);
    }
    let mut digest = [0; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn compress(state: &mut [u32; 8], k: &[u32; 64], block: &[u8]) {
    let mut w = [0_u32; 64];
    for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    for i in 16..64 {
        let (a, b) = (w[i - 15], w[i - 2]);
        let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
        let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
        w[i] = w[i - 16]
            .wrapping_add(s0)
            .wrapping_add(w[i - 7])
            .wrapping_add(s1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (k, w) in k.iter().zip(w) {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let t1 = h
            .wrapping_add(s1)
            .wrapping_add((e & f) ^ (!e & g))
            .wrapping_add(*k)
            .wrapping_add(w);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(t2));
    }
    for (sum, word) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *sum = sum.wrapping_add(word);
    }
}

/// The first 32 bits of the fractions of the cube roots of the first 64 primes, and of the square roots of the first
/// 8. Worked out in whole numbers, as no table can be mistyped then.
fn constants() -> ([u32; 64], [u32; 8]) {
    let mut primes = (2_u128..).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0));
    let first: [u128; 64] = std::array::from_fn(|_| primes.next().unwrap_or_default());
    let k = first.map(|prime| root(prime << 96, 3));
    let state = std::array::from_fn(|i| root(first[i] << 64, 2));
    (k, state)
}

/// The low 32 bits of the largest number whose `power` is at most `n`.
fn root(n: u128, power: u32) -> u32 {
    let mut root = 0_u128;
    for bit in (0..37).rev() {
        let next = root | 1 << bit;
        if next.pow(power) <= n {
            root = next;
        }
    }
    (root & u128::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The examples of FIPS 180-4.
    #[test]
    fn sha_256_is_the_standard_s() {
        for (message, digest) in [
            (
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            assert_eq!(hex(&sha256(message.as_bytes())), digest, "{message:?}");
        }
    }

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
