//! A question, and what is taken for its answer.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use clap::ValueEnum;
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, Question, RCODE, ResourceRecord, TYPE, rdata::RData,
};

use crate::text;

/// Names that are aliases of each other end there.
const MAX_ALIASES: usize = 16;
/// The codec follows up to 8,000 pointers for the name of each.
const MAX_RECORDS: usize = 1024;
const HEADER: usize = 12;
/// A record with the name of the root and no data. Nothing in a message is shorter but a question.
const SHORTEST_RECORD: usize = 11;

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Kind {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Soa,
    Srv,
    Txt,
}

impl From<Kind> for TYPE {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::A => Self::A,
            Kind::Aaaa => Self::AAAA,
            Kind::Cname => Self::CNAME,
            Kind::Mx => Self::MX,
            Kind::Ns => Self::NS,
            Kind::Ptr => Self::PTR,
            Kind::Soa => Self::SOA,
            Kind::Srv => Self::SRV,
            Kind::Txt => Self::TXT,
        }
    }
}

pub(crate) struct Query {
    name: Name<'static>,
    kind: TYPE,
    message: Vec<u8>,
}

/// What a message says that answers the question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is more, to be had over TCP.
    Truncated,
    Told(Told),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The aliases that lead to the records, and these, a line each.
    pub(crate) records: Vec<String>,
    /// Why there are none of the type.
    pub(crate) lack: Option<String>,
}

/// Why a message is not taken for the answer.
pub(crate) type Refused = &'static str;

impl Query {
    pub(crate) fn new(name: &str, kind: Kind) -> Result<Self, String> {
        let invalid = |why: &str| format!("invalid name {name:?}: {why}");
        let reverse = name.parse().ok().map(reverse);
        let name = match reverse.filter(|_| matches!(kind, Kind::Ptr)) {
            Some(name) => name,
            None if !name.is_ascii() => {
                return Err(invalid("not ASCII; such a name begins with xn--"));
            }
            None if name.is_empty() => return Err(invalid("empty")),
            None if name != "." && (name.starts_with('.') || name.contains("..")) => {
                return Err(invalid("an empty label"));
            }
            None => name.to_owned(),
        };
        let long =
            |_| invalid("a label of more than 63 bytes, more than 255 in all, or a wrong escape");
        let name = Name::new(&name).map_err(long)?.into_owned();
        let kind = TYPE::from(kind);
        // The standard library's keys for hash maps, which nobody can guess.
        let [_, _, _, _, _, _, id @ ..] = RandomState::new().hash_one(0).to_be_bytes();
        let mut packet = Packet::new_query(u16::from_be_bytes(id));
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let question = Question::new(name.clone(), kind.into(), CLASS::IN.into(), false);
        packet.questions.push(question);
        let message = packet.build_bytes_vec().map_err(long)?;
        Ok(Self {
            name,
            kind,
            message,
        })
    }

    pub(crate) fn message(&self) -> &[u8] {
        &self.message
    }

    /// As messages show it.
    pub(crate) fn name(&self) -> String {
        let name = text::name(&self.name);
        match name.strip_suffix('.') {
            Some(short) if !short.is_empty() => short.to_owned(),
            _ => name,
        }
    }

    /// Takes a message for the answer or refuses it.
    pub(crate) fn take(&self, message: &[u8]) -> Result<Answer, Refused> {
        if self.is_truncated(message)? {
            return Ok(Answer::Truncated);
        }
        let packet = Packet::parse(message).map_err(|_| "it is malformed")?;
        let failure = match packet.rcode() {
            RCODE::NoError => None,
            RCODE::NameError => Some("no such name (NXDOMAIN)".to_owned()),
            RCODE::ServerFailure => Some("the server failed (SERVFAIL)".to_owned()),
            RCODE::Refused => Some("the server refuses to answer (REFUSED)".to_owned()),
            other => Some(format!("the server reports {other:?}")),
        };
        let mut told = self.follow(&packet.answers);
        told.lack = failure.or(told.lack);
        Ok(Answer::Told(told))
    }

    /// Refuses what costs little to refuse, before the codec looks at it: anybody who finds the port may send messages.
    fn is_truncated(&self, message: &[u8]) -> Result<bool, Refused> {
        let (header, sections) = message.split_at_checked(HEADER).ok_or("it is too short")?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        if header[..2] != self.message[..2] {
            return Err("it has another id");
        }
        if header[2] & 0x80 == 0 {
            return Err("it is a question");
        }
        if header[2] & 0x78 != 0 {
            return Err("it is no answer to a question");
        }
        let question = &self.message[HEADER..];
        let (given, rest) = sections
            .split_at_checked(question.len())
            .ok_or("it has another question")?;
        let name_len = question.len() - 4;
        let same_name = given[..name_len].eq_ignore_ascii_case(&question[..name_len]);
        if word(4) != 1 || !same_name || given[name_len..] != question[name_len..] {
            return Err("it has another question");
        }
        if header[2] & 0x02 != 0 {
            return Ok(true);
        }
        let records: usize = [6, 8, 10].map(|at| usize::from(word(at))).iter().sum();
        if records > MAX_RECORDS {
            return Err("it announces more than 1,024 records");
        }
        // The codec makes room for as many as are announced.
        if records * SHORTEST_RECORD > rest.len() {
            return Err("it announces more than it has");
        }
        Ok(false)
    }

    /// From the name asked for, along its aliases, to the records.
    fn follow(&self, answers: &[ResourceRecord<'_>]) -> Told {
        let mut told = Told::default();
        let mut owner = &self.name;
        for _ in 0..=MAX_ALIASES {
            let of_owner = || {
                answers
                    .iter()
                    .filter(|record| record.class == CLASS::IN && record.name == *owner)
            };
            let begun = told.records.len();
            let wanted = of_owner().filter(|record| record.rdata.type_code() == self.kind);
            told.records.extend(wanted.map(text::record));
            if told.records.len() > begun {
                return told;
            }
            let mut aliases = of_owner().filter_map(|record| match &record.rdata {
                RData::CNAME(target) => Some((record, &target.0)),
                _ => None,
            });
            let Some((record, target)) = aliases.next() else {
                told.lack = Some(format!("no record of type {:?}", self.kind));
                return told;
            };
            told.records.push(text::record(record));
            owner = target;
        }
        Told {
            records: Vec::new(),
            lack: Some(format!("more than {MAX_ALIASES} aliases in a row")),
        }
    }
}

/// The name under which the names of an address are (RFC 1035, 3.5; RFC 3596, 2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev();
            let labels = nibbles.map(|byte| format!("{:x}.{:x}.", byte & 15, byte >> 4));
            labels.collect::<String>() + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use simple_dns::rdata;

    use super::*;

    fn query() -> Query {
        Query::new("a.test", Kind::A).unwrap()
    }

    fn named(name: &'static str, data: RData<'static>) -> ResourceRecord<'static> {
        ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, 60, data)
    }

    fn alias(name: &'static str, target: &'static str) -> ResourceRecord<'static> {
        named(name, RData::CNAME(Name::new_unchecked(target).into()))
    }

    fn address(name: &'static str) -> ResourceRecord<'static> {
        named(name, RData::A(rdata::A { address: 1 }))
    }

    /// A message that answers.
    fn reply(query: &Query, code: RCODE, answers: Vec<ResourceRecord<'static>>) -> Vec<u8> {
        let mut packet = Packet::parse(&query.message).unwrap().into_reply();
        *packet.rcode_mut() = code;
        packet.answers = answers;
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn told(code: RCODE, answers: Vec<ResourceRecord<'static>>) -> (Vec<String>, Option<String>) {
        let query = query();
        match query.take(&reply(&query, code, answers)) {
            Ok(Answer::Told(told)) => (told.records, told.lack),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_question_asks_for_recursion_and_has_an_id_of_its_own() {
        let query = query();
        assert_eq!(
            query.message[2..],
            *b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01"
        );
        let ids: BTreeSet<_> = (0..100)
            .map(|_| self::query().message[..2].to_vec())
            .collect();
        assert!(ids.len() > 90, "{ids:?}");
    }

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        let name = |text, kind| Query::new(text, kind).unwrap().name();
        assert_eq!(name("192.0.2.7", Kind::Ptr), "7.2.0.192.in-addr.arpa");
        assert_eq!(
            name("2001:db8::f", Kind::Ptr),
            "f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
        assert_eq!(name("a.test.", Kind::Ptr), "a.test");
        assert_eq!(name("192.0.2.7", Kind::A), "192.0.2.7");
        assert_eq!(name(".", Kind::Ns), ".");
    }

    #[test]
    fn what_is_no_name_is_told() {
        let (label, name) = ("x".repeat(64), "x.".repeat(128));
        for text in [
            "",
            "..",
            "a..b",
            ".a",
            "\u{fc}.test",
            r"a\999",
            &label,
            &name,
        ] {
            assert!(Query::new(text, Kind::A).is_err(), "{text}");
        }
        assert!(Query::new(&label[1..], Kind::A).is_ok());
        assert!(Query::new(&name[2..], Kind::A).is_ok());
    }

    #[test]
    fn aliases_lead_to_the_records() {
        // In any order, in any case, and with records that nobody asked for.
        let answers = vec![
            address("c.test"),
            address("other.test"),
            alias("b.test", "c.test"),
            alias("A.Test", "b.test"),
            address("C.TEST"),
        ];
        let (records, lack) = told(RCODE::NoError, answers);
        assert_eq!(
            records,
            [
                "A.Test. 60 IN CNAME b.test.",
                "b.test. 60 IN CNAME c.test.",
                "c.test. 60 IN A 0.0.0.1",
                "C.TEST. 60 IN A 0.0.0.1"
            ]
        );
        assert_eq!(lack, None);
    }

    #[test]
    fn a_lack_of_records_has_a_reason() {
        let aliased = || vec![alias("a.test", "b.test")];
        let circle = vec![alias("a.test", "b.test"), alias("b.test", "a.test")];
        for (code, answers, records, why) in [
            (RCODE::NoError, vec![], 0, "no record of type A"),
            (
                RCODE::NoError,
                vec![address("b.test")],
                0,
                "no record of type A",
            ),
            (RCODE::NoError, aliased(), 1, "no record of type A"),
            (RCODE::NoError, circle, 0, "more than 16 aliases in a row"),
            (RCODE::NameError, vec![], 0, "no such name (NXDOMAIN)"),
            (RCODE::NameError, aliased(), 1, "no such name (NXDOMAIN)"),
            (
                RCODE::ServerFailure,
                vec![],
                0,
                "the server failed (SERVFAIL)",
            ),
            (
                RCODE::Refused,
                vec![],
                0,
                "the server refuses to answer (REFUSED)",
            ),
            (
                RCODE::NotImplemented,
                vec![],
                0,
                "the server reports NotImplemented",
            ),
        ] {
            let (shown, lack) = told(code, answers);
            assert_eq!((shown.len(), lack.as_deref()), (records, Some(why)));
        }
    }

    #[test]
    fn what_is_no_answer_to_the_question_is_refused() {
        let query = query();
        let good = reply(&query, RCODE::NoError, vec![address("a.test")]);
        let changed = |at: usize, byte: u8| {
            let mut message = good.clone();
            message[at] = byte;
            message
        };
        let end = good.len();
        // Behind the header the question has 12 bytes; there the record begins.
        for (message, why) in [
            (vec![], "it is too short"),
            (good[..11].to_vec(), "it is too short"),
            (good[..20].to_vec(), "it has another question"),
            (changed(1, !good[1]), "it has another id"),
            (changed(2, good[2] & 0x7f), "it is a question"),
            (changed(2, good[2] | 0x08), "it is no answer to a question"),
            (changed(5, 0), "it has another question"),
            (changed(5, 2), "it has another question"),
            (changed(13, b'b'), "it has another question"),
            (changed(21, 28), "it has another question"),
            (changed(23, 3), "it has another question"),
            (changed(6, 4), "it announces more than 1,024 records"),
            (changed(10, 0xff), "it announces more than 1,024 records"),
            (changed(9, 1), "it announces more than it has"),
            (good[..end - 1].to_vec(), "it is malformed"),
            // Names that point at themselves, forwards, and past the end.
            (changed(25, 24), "it is malformed"),
            (changed(25, 30), "it is malformed"),
            (changed(24, 0xff), "it is malformed"),
        ] {
            assert_eq!(query.take(&message), Err(why), "{message:?}");
        }
        let mut in_capitals = good.clone();
        in_capitals[13..].make_ascii_uppercase();
        assert!(query.take(&good).is_ok());
        assert_eq!(
            query.take(&in_capitals[..12 + 12]),
            Err("it announces more than it has")
        );
        assert!(query.take(&changed(13, b'A')).is_ok());
        // The rest was cut off.
        let truncated = changed(2, good[2] | 0x02);
        assert_eq!(query.take(&truncated[..24]), Ok(Answer::Truncated));
    }

    /// Each name begins at the last of as many pointers as there can be.
    #[test]
    fn the_longest_way_through_pointers_ends() {
        let query = query();
        let mut message = reply(&query, RCODE::NoError, vec![]);
        let pointer_to = |at: usize| (0xc000 | u16::try_from(at).unwrap()).to_be_bytes();
        // They are the data of a record of an unknown type.
        let begin = message.len() + SHORTEST_RECORD;
        let len = 0x3fff - begin;
        message.extend([0, 0xff, 0, 0, 1, 0, 0, 0, 0]);
        message.extend(u16::try_from(len).unwrap().to_be_bytes());
        message.extend([0, 0]);
        while message.len() < begin + len {
            message.extend(pointer_to(message.len() - 2));
        }
        for _ in 1..MAX_RECORDS {
            message.extend(pointer_to(begin + len - 2));
            message.extend(b"\0\x01\0\x01\0\0\0\0\0\0");
        }
        message[6..8].copy_from_slice(&u16::try_from(MAX_RECORDS).unwrap().to_be_bytes());
        let taken = query.take(&message);
        assert!(matches!(taken, Ok(Answer::Told(_))), "{taken:?}");
    }

    #[test]
    fn no_message_makes_it_panic() {
        let query = query();
        let good = reply(
            &query,
            RCODE::NoError,
            vec![alias("a.test", "b.test"), address("b.test")],
        );
        for at in 0..good.len() {
            let _ = query.take(&good[..at]);
            for byte in 0..=255 {
                let mut message = good.clone();
                message[at] = byte;
                let _ = query.take(&message);
            }
        }
    }
}
