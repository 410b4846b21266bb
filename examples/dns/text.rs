//! Names and records as in a zone file (RFC 1035, 5.1), in printable ASCII whatever the server sent.

use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
};

use simple_dns::{Name, Packet, ResourceRecord, rdata::RData};

/// With the dot of the root behind it.
pub(crate) fn name(name: &Name<'_>) -> String {
    let mut text = String::new();
    for label in name.get_labels() {
        escape(label.as_ref(), b".\\\"();@$ ", &mut text);
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

pub(crate) fn record(record: &ResourceRecord<'_>) -> String {
    let data = match &record.rdata {
        RData::A(a) => Ipv4Addr::from(a.address).to_string(),
        RData::AAAA(aaaa) => Ipv6Addr::from(aaaa.address).to_string(),
        RData::CNAME(target) => name(target),
        RData::NS(target) => name(target),
        RData::PTR(target) => name(target),
        RData::MX(mx) => format!("{} {}", mx.preference, name(&mx.exchange)),
        RData::SRV(srv) => format!(
            "{} {} {} {}",
            srv.priority,
            srv.weight,
            srv.port,
            name(&srv.target)
        ),
        RData::SOA(soa) => format!(
            "{} {} {} {} {} {} {}",
            name(&soa.mname),
            name(&soa.rname),
            soa.serial,
            soa.refresh.cast_unsigned(),
            soa.retry.cast_unsigned(),
            soa.expire.cast_unsigned(),
            soa.minimum
        ),
        RData::TXT(_) => strings(&bytes(record)),
        // Only without data is one of another kind asked for (RFC 3597, 5).
        _ => r"\# 0".to_owned(),
    };
    let kind = record.rdata.type_code();
    format!("{} {} IN {kind:?} {data}", name(&record.name), record.ttl)
}

/// Appends `bytes` with a backslash before those of `special`, and as three digits what is not printable ASCII or a
/// special space.
fn escape(bytes: &[u8], special: &[u8], text: &mut String) {
    for &byte in bytes {
        let is_special = special.contains(&byte);
        if !byte.is_ascii_graphic() && (byte != b' ' || is_special) {
            let _ = write!(text, "\\{byte:03}");
            continue;
        }
        if is_special {
            text.push('\\');
        }
        text.push(char::from(byte));
    }
}

/// The data of a record, which the codec keeps to itself for some types.
fn bytes(record: &ResourceRecord<'_>) -> Vec<u8> {
    let mut packet = Packet::new_reply(0);
    let mut record = record.clone();
    record.name = Name::new_unchecked("");
    packet.answers.push(record);
    let message = packet.build_bytes_vec().unwrap_or_default();
    // Behind the header, the name of the root, type, class, TTL and length.
    message.get(12 + 1 + 10..).unwrap_or_default().to_vec()
}

/// Of a TXT record: each with its length before it.
fn strings(mut data: &[u8]) -> String {
    let mut text = String::new();
    while let Some((&len, rest)) = data.split_first() {
        let (string, rest) = rest.split_at(rest.len().min(len.into()));
        text.push_str(if text.is_empty() { "\"" } else { " \"" });
        escape(string, b"\"\\", &mut text);
        text.push('"');
        data = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use simple_dns::{CLASS, CharacterString, Label, TYPE, rdata};

    use super::*;

    #[test]
    fn a_name_is_printable_and_reads_back_as_the_same_name() {
        let every_byte: Vec<u8> = (0..=255).collect();
        for chunk in every_byte.chunks(50) {
            let label = Label::new_unchecked(chunk);
            let wild = Name::new_with_labels(&[label, Label::new_unchecked(&b"x"[..])]);
            let text = name(&wild);
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
            assert_eq!(Name::new(&text).unwrap(), wild, "{text}");
        }
        assert_eq!(name(&Name::new_unchecked("a.b")), "a.b.");
        assert_eq!(name(&Name::new_unchecked("")), ".");
    }

    #[test]
    fn a_record_is_a_line_of_a_zone_file() {
        let target = || Name::new_unchecked("b.test");
        let mut txt = rdata::TXT::new();
        for string in [&b"x y=\"1\\"[..], b"", b"=\x1b[0m\n\xff"] {
            txt.add_char_string(CharacterString::new(string).unwrap());
        }
        for (data, text) in [
            (RData::A(Ipv4Addr::LOCALHOST.into()), "A 127.0.0.1"),
            (RData::AAAA(Ipv6Addr::LOCALHOST.into()), "AAAA ::1"),
            (RData::CNAME(target().into()), "CNAME b.test."),
            (
                RData::MX(rdata::MX {
                    preference: 10,
                    exchange: target(),
                }),
                "MX 10 b.test.",
            ),
            (
                RData::SRV(rdata::SRV {
                    priority: 1,
                    weight: 2,
                    port: 3,
                    target: target(),
                }),
                "SRV 1 2 3 b.test.",
            ),
            (RData::TXT(txt), r#"TXT "x y=\"1\\" "" "=\027[0m\010\255""#),
            (
                RData::SOA(rdata::SOA {
                    mname: target(),
                    rname: target(),
                    serial: u32::MAX,
                    refresh: -1,
                    retry: 2,
                    expire: 3,
                    minimum: 4,
                }),
                "SOA b.test. b.test. 4294967295 4294967295 2 3 4",
            ),
            (RData::Empty(TYPE::A), r"A \# 0"),
        ] {
            let line = record(&ResourceRecord::new(
                Name::new_unchecked("a.test"),
                CLASS::IN,
                60,
                data,
            ));
            assert_eq!(line, format!("a.test. 60 IN {text}"));
        }
    }
}
