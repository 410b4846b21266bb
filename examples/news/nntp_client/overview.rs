//! Overviews: the articles of a group in lines, and in numbers.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    io::{self, Write},
};

use asynchat::Result;

use shared::{mail, nntp::Overview, reply::Reply, text::printable};

use crate::{command::Choice, worklist::Task};

/// "No article with that number", "no articles in that range" (RFC 3977, 8.3.1).
const EMPTY: [u16; 2] = [420, 423];

fn parse(line: &[u8]) -> Result<Overview<'_>> {
    let parsed = Overview::parse(line);
    parsed.ok_or_else(|| {
        let shown: String = String::from_utf8_lossy(line).chars().take(60).collect();
        format!("the server sent no overview but {:?}", printable(&shown)).into()
    })
}

impl Choice {
    fn has(&self, article: &Overview<'_>) -> bool {
        let contains = |field: &[u8], text: &Option<String>| {
            let text = text.as_ref().map(|text| text.to_lowercase());
            let field = String::from_utf8_lossy(field).to_lowercase();
            text.is_none_or(|text| field.contains(&text))
        };
        contains(article.from, &self.author) && contains(article.subject, &self.subject)
    }
}

/// The line of an article, its encoded words decoded.
fn show(article: &Overview<'_>) -> io::Result<()> {
    let fields = [
        (&b"Date: "[..], article.date),
        (b"From: ", article.from),
        (b"Subject: ", article.subject),
    ];
    let header: Vec<_> = fields
        .into_iter()
        .flat_map(|(name, value)| [name, value, b"\r\n"])
        .collect();
    let summary = mail::summary(&[&header.concat(), &b"\r\n"[..]].concat());
    writeln!(io::stdout(), "{} {summary}", article.number)
}

pub(crate) struct Headlines(Choice);

impl Headlines {
    pub(crate) fn new(choice: &Choice) -> Self {
        Self(choice.clone())
    }
}

impl Task for Headlines {
    fn line(&mut self, line: &[u8]) -> Result {
        let article = parse(line)?;
        match self.0.has(&article) {
            true => Ok(show(&article)?),
            false => Ok(()),
        }
    }

    fn is_empty_answer(&self, refusal: &Reply) -> bool {
        EMPTY.contains(&refusal.code)
    }
}

/// Counts who writes about what. Names are kept as hashes, so that long ones cost no memory.
pub(crate) struct Statistics {
    choice: Choice,
    hash: RandomState,
    authors: HashSet<u64>,
    subjects: HashSet<u64>,
}

impl Statistics {
    pub(crate) fn new(choice: &Choice) -> Self {
        Self {
            choice: choice.clone(),
            hash: RandomState::new(),
            authors: HashSet::new(),
            subjects: HashSet::new(),
        }
    }
}

impl Task for Statistics {
    fn line(&mut self, line: &[u8]) -> Result {
        let article = parse(line)?;
        self.authors.insert(self.hash.hash_one(article.from));
        self.subjects
            .insert(self.hash.hash_one(thread(article.subject)));
        let asked_for = self.choice.author.is_some() || self.choice.subject.is_some();
        match asked_for && self.choice.has(&article) {
            true => Ok(show(&article)?),
            false => Ok(()),
        }
    }

    fn done(&mut self) -> Result {
        let mut out = io::stdout();
        writeln!(out, "authors => {}", self.authors.len())?;
        Ok(writeln!(out, "subjects => {}", self.subjects.len())?)
    }

    fn is_empty_answer(&self, refusal: &Reply) -> bool {
        EMPTY.contains(&refusal.code)
    }
}

/// The subject that a reply is about.
fn thread(subject: &[u8]) -> &[u8] {
    match subject.split_at_checked(4) {
        Some((re, rest)) if re.eq_ignore_ascii_case(b"Re: ") => rest,
        _ => subject,
    }
}
