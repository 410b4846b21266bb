//! The skeleton: a Rust file that compiles, with the structs, callbacks and calls that the Python shows, the Python itself
//! as comments, and `todo!()` where a person decides.

mod body;
mod callbacks;
mod calls;
mod class;
mod code;
mod comment;
mod construct;
mod context;
mod imports;
mod literal;
mod module;
mod names;
mod page;
mod plan;
mod scan;
mod start;
mod statements;
mod terminator;
mod traits;
mod types;

use std::collections::HashSet;

use crate::{
    model::Program,
    resolve::Names,
    skeleton::{
        class::Writer,
        page::{INDENT, Page},
        plan::{Plan, PlannedModule},
    },
};

const HEAD: &str = "\
//! A skeleton by asynchat-port: it compiles with the crate `asynchat`, and each `todo!()` is for a person to decide.
// Until the port is done.
#![allow(dead_code, unused_variables, unreachable_code, unconditional_recursion)]
#![allow(nonstandard_style, clippy::all)]
";

/// The module of what is to be decided.
const TODO: &str = "todo";

const BYTES: &str = "    /// Bytes to send.
    pub fn bytes() -> Vec<u8> {
        todo!()
    }
";
const PRODUCER: &str = "    /// Bytes that are made when they are needed.
    pub fn producer() -> asynchat::SimpleProducer {
        todo!()
    }
";
const TERMINATOR: &str = "    /// The end of a frame.
    pub fn terminator() -> asynchat::Terminator {
        todo!()
    }
";

/// The skeleton of a program.
pub fn skeleton(program: &Program, names: &Names) -> String {
    let plan = Plan::new(program, names);
    let mut body = match plan.modules.as_slice() {
        [module] => {
            let mut page = Page::default();
            let mut writer = Writer {
                plan: &plan,
                page: &mut page,
            };
            writer.items(module);
            page.into_text()
        }
        modules => modules.iter().map(|module| nested(&plan, module)).collect(),
    };
    body.push_str(&main(&plan));
    let todo = decisions(&plan, &body);
    let uses = match plan.modules.as_slice() {
        [_] => imports::of(&body, 0),
        _ => imports::of(&main(&plan), 0),
    };
    let mut text = HEAD.to_owned();
    if body.contains("log::") {
        text = text.replacen("crate `asynchat`", "crates `asynchat` and `log`", 1);
    }
    for part in [uses, body, todo] {
        if !part.is_empty() {
            text.push('\n');
            text.push_str(part.trim_start_matches('\n'));
        }
    }
    text
}

fn nested(plan: &Plan<'_>, module: &PlannedModule) -> String {
    let mut page = Page::inside(1);
    let mut writer = Writer {
        plan,
        page: &mut page,
    };
    writer.items(module);
    if plan.starts(module.id) {
        writer.page.blank();
        writer.page.function(
            "pub fn script",
            &["reactor: &mut Reactor".to_owned()],
            " -> Result",
        );
        writer.start_of(module.id);
        writer.page.line("Ok(())");
        writer.page.close();
    }
    let inner = page.into_text();
    let mut uses = imports::of(&inner, INDENT);
    if inner.contains("todo::") {
        if !uses.is_empty() {
            uses.push('\n');
        }
        uses.push_str(&format!("use {};\n", ["super", TODO].join("::")));
    }
    let mut text = format!("\npub mod {} {{\n", module.rust);
    for line in uses.lines() {
        if !line.is_empty() {
            text.extend(std::iter::repeat_n(' ', INDENT));
        }
        text.push_str(line);
        text.push('\n');
    }
    let inner = inner.trim_start_matches('\n');
    if !uses.is_empty() && !inner.is_empty() {
        text.push('\n');
    }
    text.push_str(inner);
    text.push_str("}\n");
    text
}

fn main(plan: &Plan<'_>) -> String {
    let mut page = Page::default();
    page.open("fn main() -> Result");
    page.comment("Without a logger no error is shown: `env_logger::init()`, or another one.");
    page.line("let reactor = &mut Reactor::new()?;");
    match plan.modules.as_slice() {
        [module] => Writer {
            plan,
            page: &mut page,
        }
        .start_of(module.id),
        modules => {
            for module in modules.iter().filter(|module| plan.starts(module.id)) {
                page.line(&format!("{}::script(reactor)?;", module.rust));
            }
        }
    }
    // A statement may have done it.
    let runs = page.text().contains("\n    reactor.run()?;\n");
    page.line(if runs { "Ok(())" } else { "Ok(reactor.run()?)" });
    page.close();
    format!("\n{}", page.into_text())
}

/// The module `todo`.
fn decisions(plan: &Plan<'_>, body: &str) -> String {
    let mut parts = Vec::new();
    for (name, part) in [
        ("bytes", BYTES),
        ("producer", PRODUCER),
        ("terminator", TERMINATOR),
    ] {
        if body.contains(&format!("todo::{name}()")) {
            parts.push(part.to_owned());
        }
    }
    let words: HashSet<&str> = body
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("todo::").skip(1))
        .map(|rest| {
            rest.split(|letter: char| letter != '_' && !letter.is_alphanumeric())
                .next()
                .unwrap_or(rest)
        })
        .collect();
    for (name, origin) in plan.todo.iter().filter(|(name, _)| words.contains(name)) {
        let separator = if origin.is_empty() { "" } else { " " };
        parts.push(format!(
            "    ///{separator}{origin}\n    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]\n    pub struct {name};\n"
        ));
    }
    if parts.is_empty() {
        return String::new();
    }
    format!(
        "/// What is to be decided, by the Python that first named it.\npub mod todo {{\n{}}}\n",
        parts.join("\n")
    )
}
