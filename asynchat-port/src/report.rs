//! The report as text: a line for each finding, as compilers write them, and what the guide says below it. What it said
//! before in the same file is not said again.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use crate::{
    find::{Entry, Finding, Found},
    knowledge,
    load::Loaded,
    model::{Module, ModuleId},
    summary::Summary,
    syntax::Tree,
    text::{printable, shortened},
};

/// Characters of a line of the program that are shown.
const SHOWN: usize = 100;

/// Places that the summary lists of one entry.
const PLACES: usize = 10;

/// Writes what could not be read, or not wholly.
pub fn write_errors(out: &mut impl Write, loaded: &Loaded) -> io::Result<()> {
    for unread in &loaded.unread {
        writeln!(
            out,
            "{}: error: {}",
            printable(&unread.path),
            printable(&unread.reason)
        )?;
    }
    for doubt in &loaded.doubts {
        writeln!(
            out,
            "{}: warning: {}",
            printable(&doubt.path),
            printable(&doubt.reason)
        )?;
    }
    for module in &loaded.program.modules {
        for (place, fault) in faults(&module.tree) {
            writeln!(
                out,
                "{}:{place}: error: {fault}; the rest of the file is read",
                printable(&module.path)
            )?;
        }
    }
    Ok(())
}

/// Places that are no Python, with what is wrong there.
pub fn faults(tree: &Tree) -> impl Iterator<Item = (String, String)> + '_ {
    tree.faults().iter().map(|fault| {
        let place = tree.position_at(fault.offset);
        let line = tree.line(place.line);
        let what = match fault.missing {
            Some(token) => format!("`{}` is missing", printable(token)),
            None => format!("no Python: {}", shortened(&printable(line.trim()), SHOWN)),
        };
        (format!("{}:{}", place.line, place.column), what)
    })
}

/// Writes all findings, and the summary.
pub fn write(out: &mut impl Write, loaded: &Loaded, found: &Found) -> io::Result<()> {
    let mut said = HashMap::new();
    let mut shown = (ModuleId(0), 0);
    for finding in &found.findings {
        let module = &loaded.program[finding.module];
        let line = finding.position.line;
        write!(
            out,
            "{}:{line}:{}: {}: ",
            printable(&module.path),
            finding.position.column,
            finding.kind.name()
        )?;
        write!(out, "{}", title(finding))?;
        let key = (
            module.id,
            finding.kind.name(),
            finding.entry.key(),
            finding.entry.anchor(),
        );
        let before = said.get(&key).copied();
        match before {
            Some(before) => writeln!(out, ", as in line {before}")?,
            None => writeln!(out)?,
        }
        if shown != (module.id, line) {
            let text = shortened(&printable(module.tree.line(line).trim()), SHOWN);
            writeln!(out, "  | {text}")?;
            shown = (module.id, line);
        }
        if before.is_none() {
            said.insert(key, line);
            write_entry(out, finding)?;
        }
    }
    write_summary(out, loaded, &Summary::new(loaded, found))
}

fn title(finding: &Finding) -> String {
    let name = shortened(&printable(&finding.name), SHOWN);
    match &finding.because {
        Some(because) => format!("{name} {}", printable(because)),
        None => name,
    }
}

fn write_entry(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let anchor = finding.entry.anchor();
    match finding.entry {
        Entry::Row(_, row) => writeln!(out, "  = Rust: {} (#{anchor})", row.rust),
        Entry::Idiom(idiom) => writeln!(out, "  = {} (#{anchor})", idiom.python),
        Entry::Difference(difference) => {
            writeln!(out, "  = Python: {}", difference.python)?;
            writeln!(out, "  = here: {}", difference.here)?;
            writeln!(out, "  = symptom: {} (#{anchor})", difference.symptom)
        }
        Entry::Pitfall(pitfall) => {
            writeln!(out, "  = {}: {} (#{anchor})", pitfall.title, pitfall.text)
        }
    }
}

fn write_summary(out: &mut impl Write, loaded: &Loaded, summary: &Summary<'_>) -> io::Result<()> {
    let counts = &summary.counts;
    let place = |module: &Module, line| format!("{}:{line}", printable(&module.path));
    if counts.classes + counts.uses > 0 {
        writeln!(out)?;
    }
    writeln!(
        out,
        "Files: {}, of which {} with errors",
        counts.files + loaded.unread.len(),
        counts.faulty_files
    )?;
    writeln!(
        out,
        "Classes: {}; callbacks: {}; other methods that are overridden: {}",
        counts.classes, counts.callbacks, counts.overrides
    )?;
    writeln!(
        out,
        "Names, methods and attributes: {}; nothing to write for {}; no counterpart for {}",
        counts.uses, counts.needless, counts.without_counterpart
    )?;
    let idioms: Vec<_> = counts.idioms.iter().map(ToString::to_string).collect();
    writeln!(
        out,
        "Idioms: {}",
        if idioms.is_empty() {
            "none".to_owned()
        } else {
            idioms.join(", ")
        }
    )?;
    writeln!(
        out,
        "Differences: {}; pitfalls: {}",
        counts.differences, counts.pitfalls
    )?;
    if !summary.without_counterpart.is_empty() {
        writeln!(out, "\nNo counterpart:")?;
        write_places(out, loaded, summary.without_counterpart.iter())?;
    }
    if !summary.order.is_empty() {
        writeln!(out, "\nOrder of the classes, each behind those it needs:")?;
        for (number, class) in summary.order.iter().enumerate() {
            let root = class.root.map_or("a producer", |root| root.name());
            let place = place(&loaded.program[class.module], class.position.line);
            writeln!(
                out,
                "{:>4}. {} ({root}), {place}",
                number + 1,
                printable(&class.qualified)
            )?;
        }
    }
    if !summary.thought.is_empty() {
        writeln!(out, "\nNeeds thought:")?;
        write_places(out, loaded, summary.thought.iter())?;
    }
    writeln!(out, "\nThe anchors (#…) are those of {}", knowledge::PAGE)
}

fn write_places<'a>(
    out: &mut impl Write,
    loaded: &Loaded,
    entries: impl Iterator<Item = (&'a &'static str, &'a Vec<&'a Finding>)>,
) -> io::Result<()> {
    for (name, findings) in entries {
        write!(out, "  {name}:")?;
        for finding in findings.iter().take(PLACES) {
            let module = &loaded.program[finding.module];
            write!(
                out,
                " {}:{}",
                printable(&module.path),
                finding.position.line
            )?;
        }
        match findings.len().saturating_sub(PLACES) {
            0 => writeln!(out)?,
            more => writeln!(out, " and {more} more")?,
        }
    }
    Ok(())
}
