//! The report as JSON.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    find::{Entry, Finding, Found, Kind},
    knowledge,
    library::{Library, Root},
    load::Loaded,
    model::{Class, Module, Value},
    report,
    source::Unread,
    summary::{Counts, Summary},
    syntax::Position,
};

/// Changes when a member changes its meaning.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    guide: &'static str,
    files: Vec<File<'a>>,
    unread: Vec<Reason<'a>>,
    warnings: Vec<Reason<'a>>,
    classes: Vec<ClassReport<'a>>,
    findings: Vec<FindingReport<'a>>,
    order: Vec<ClassPlace<'a>>,
    summary: &'a Counts,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    module: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_of: Option<Library>,
    errors: Vec<String>,
}

#[derive(Serialize)]
struct Reason<'a> {
    path: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct ClassReport<'a> {
    #[serde(flatten)]
    place: ClassPlace<'a>,
    bases: Vec<&'a str>,
    root: Option<Root>,
    methods: Vec<&'a str>,
    attributes: Vec<Attribute<'a>>,
}

/// Classes of different files, or of functions, may have the same name.
#[derive(Serialize)]
struct ClassPlace<'a> {
    name: &'a str,
    file: &'a str,
    #[serde(flatten)]
    position: Position,
}

#[derive(Serialize)]
struct Attribute<'a> {
    name: &'a str,
    line: usize,
    value: &'a Value,
}

#[derive(Serialize)]
struct FindingReport<'a> {
    file: &'a str,
    #[serde(flatten)]
    position: Position,
    kind: Kind,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
    anchor: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    idiom: Option<u16>,
    /// The entry of the guide.
    python: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    here: Option<&'static str>,
    advice: &'static str,
}

/// Writes one object.
pub fn write(out: &mut impl Write, loaded: &Loaded, found: &Found) -> io::Result<()> {
    let summary = Summary::new(loaded, found);
    let report = Report {
        version: VERSION,
        guide: knowledge::PAGE,
        files: loaded.program.modules.iter().map(file).collect(),
        unread: loaded.unread.iter().map(reason).collect(),
        warnings: loaded.doubts.iter().map(reason).collect(),
        classes: summary
            .order
            .iter()
            .map(|class| class_report(loaded, class))
            .collect(),
        findings: found
            .findings
            .iter()
            .map(|finding| finding_report(loaded, finding))
            .collect(),
        order: summary
            .order
            .iter()
            .map(|class| class_place(loaded, class))
            .collect(),
        summary: &summary.counts,
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn file(module: &Module) -> File<'_> {
    let errors = report::faults(&module.tree).map(|(place, fault)| format!("{place}: {fault}"));
    File {
        path: &module.path,
        module: &module.name,
        copy_of: module.copy_of,
        errors: errors.collect(),
    }
}

fn reason(unread: &Unread) -> Reason<'_> {
    Reason {
        path: &unread.path,
        reason: &unread.reason,
    }
}

fn class_place<'a>(loaded: &'a Loaded, class: &'a Class) -> ClassPlace<'a> {
    ClassPlace {
        name: &class.qualified,
        file: &loaded.program[class.module].path,
        position: class.position,
    }
}

fn class_report<'a>(loaded: &'a Loaded, class: &'a Class) -> ClassReport<'a> {
    let module = &loaded.program[class.module];
    let attributes = class.attributes.iter().map(|attribute| Attribute {
        name: &attribute.name,
        line: module.tree.position(attribute.node).line,
        value: &attribute.guess,
    });
    ClassReport {
        place: class_place(loaded, class),
        bases: class.bases.iter().map(|base| base.text.as_str()).collect(),
        root: class.root,
        methods: class
            .methods
            .iter()
            .map(|&method| loaded.program[method].name.as_str())
            .collect(),
        attributes: attributes.collect(),
    }
}

fn finding_report<'a>(loaded: &'a Loaded, finding: &'a Finding) -> FindingReport<'a> {
    let (idiom, here) = match finding.entry {
        Entry::Idiom(idiom) => (Some(idiom.number), None),
        Entry::Difference(difference) => (None, Some(difference.here)),
        Entry::Row(..) | Entry::Pitfall(_) => (None, None),
    };
    FindingReport {
        file: &loaded.program[finding.module].path,
        position: finding.position,
        kind: finding.kind,
        name: &finding.name,
        because: finding.because.as_deref(),
        anchor: finding.entry.anchor(),
        idiom,
        python: finding.entry.key(),
        here,
        advice: finding.entry.advice(),
    }
}
