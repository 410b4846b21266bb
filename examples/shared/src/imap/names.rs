//! Names of mailboxes in modified UTF-7 (RFC 3501, 5.1.3).
//!
//! The alphabet is the crate `base64`'s. The crate `utf7-imap` panics at a name that is not well-formed.

use base64::{
    Engine,
    alphabet::IMAP_MUTF7,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A name as it is sent: printable ASCII alone.
pub fn encode(name: &str) -> String {
    let mut encoded = String::new();
    let mut units = Vec::new();
    let flush = |units: &mut Vec<u8>, encoded: &mut String| {
        if !units.is_empty() {
            encoded.push('&');
            BASE64.encode_string(&*units, encoded);
            encoded.push('-');
            units.clear();
        }
    };
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut units, &mut encoded);
            encoded.push(c);
            if c == '&' {
                encoded.push('-');
            }
        } else {
            let mut pair = [0; 2];
            for unit in c.encode_utf16(&mut pair) {
                units.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut units, &mut encoded);
    encoded
}

/// A name as it is shown. One that is not well-formed stays as it is, as one in UTF-8 does (RFC 9051).
pub fn decode(name: &str) -> String {
    try_decode(name).unwrap_or_else(|| name.to_owned())
}

fn try_decode(name: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut rest = name;
    while let Some((text, shifted)) = rest.split_once('&') {
        decoded.push_str(text);
        let (base64, after) = shifted.split_once('-')?;
        match base64 {
            "" => decoded.push('&'),
            _ => {
                let bytes = BASE64.decode(base64).ok()?;
                let (pairs, []) = bytes.as_chunks::<2>() else {
                    return None;
                };
                let units = pairs.iter().map(|&pair| u16::from_be_bytes(pair));
                for c in char::decode_utf16(units) {
                    decoded.push(c.ok()?);
                }
            }
        }
        rest = after;
    }
    decoded.push_str(rest);
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_decoded() {
        for (name, encoded) in [
            ("INBOX", "INBOX"),
            ("", ""),
            ("a & b", "a &- b"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("😀", "&2D3eAA-"),
            ("a\r\nb", "a&AA0ACg-b"),
        ] {
            assert_eq!(encode(name), encoded);
            assert_eq!(decode(encoded), name);
        }
    }

    #[test]
    fn a_name_that_is_not_well_formed_stays() {
        for name in ["&", "a&b", "&AP-", "&!-", "&2D0-", "&AP=-", "é", "&A-"] {
            assert_eq!(decode(name), name);
        }
    }
}
