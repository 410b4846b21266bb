//! The commands of a page: in blocks of shell, after `$ `, and in the prose.

use crate::markdown::{Kind, Page, Part};

#[derive(Clone, Debug)]
pub struct Command {
    /// `PAGE:LINE`, or the page for one in the prose.
    pub at: String,
    pub text: String,
    /// Assignments in front.
    pub variables: Vec<(String, String)>,
    pub words: Vec<String>,
    /// Whether the page says to run it, rather than only names it.
    pub told: bool,
    /// The lines below it, up to the next command.
    pub output: Vec<String>,
}

impl Command {
    fn new(at: String, text: &str, told: bool) -> Self {
        let mut words = words(text);
        let mut variables = Vec::new();
        while let Some((name, value)) = words.first().and_then(|word| word.split_once('=')) {
            variables.push((name.to_owned(), value.to_owned()));
            words.remove(0);
        }
        Self {
            at,
            text: text.to_owned(),
            variables,
            words,
            told,
            output: Vec::new(),
        }
    }

    /// What is called: enough of the first words to tell one program from another.
    pub fn name(&self) -> String {
        let count = match self.words.first().map(String::as_str) {
            Some("cargo") => 2,
            _ => 1,
        };
        self.words[..count.min(self.words.len())].join(" ")
    }

    pub fn args(&self) -> &[String] {
        let count = self.name().split(' ').count();
        &self.words[count..]
    }

    /// Whether its one pipe leads there.
    pub fn pipes_into(&self, tool: &str) -> bool {
        let mut pipes = self.text.split(" | ").skip(1);
        let last = pipes.next().unwrap_or_default();
        last.split(' ').next() == Some(tool)
            && pipes.next().is_none()
            && !last.contains([';', '&', '>'])
    }

    /// The lines below it that are a log's: those that begin with a time left out.
    pub fn log(&self) -> Vec<String> {
        self.below(true)
    }

    /// The other ones.
    pub fn printed(&self) -> Vec<String> {
        self.below(false)
    }

    fn below(&self, log: bool) -> Vec<String> {
        let lines = self.output.iter();
        let lines = lines.filter(|line| line.starts_with("[… ") == log);
        lines.cloned().collect()
    }

    /// What follows this option.
    pub fn values<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.words.windows(2);
        pairs
            .filter(move |pair| pair[0] == option)
            .map(|pair| pair[1].as_str())
    }
}

/// The words up to a comment or a `&`, with what quotes hold together in one and the quotes gone.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (mut word, mut quote, mut end) = (String::new(), None, rest.len());
        for (index, c) in rest.char_indices() {
            match quote {
                Some(mark) if c == mark => quote = None,
                None if c == '\'' || c == '"' => quote = Some(c),
                None if c.is_whitespace() => {
                    end = index;
                    break;
                }
                _ => word.push(c),
            }
        }
        if &rest[..end] == "&" {
            break;
        }
        found.push(word);
        rest = rest[end..].trim_start();
    }
    found
}

/// All commands of a page, in order, those of the prose last.
pub fn commands(page: &Page) -> Vec<Command> {
    let mut found = Vec::new();
    for part in &page.parts {
        match &part.kind {
            Kind::Prose => {}
            Kind::Indented => of_block(page, part, &mut found),
            Kind::Fenced(info) => {
                let shell = ["sh", "console", "bash", "shell"].contains(&info.as_str());
                if shell || (info == "text" && is_prompted(part)) {
                    of_block(page, part, &mut found);
                }
            }
        }
    }
    let spans = page.spans().into_iter();
    let named = spans.map(|span| Command::new(page.name.clone(), &span, false));
    found.extend(named.filter(is_command));
    found
}

/// A span that is a command: cargo with a subcommand, a script of the repository, or a client with its arguments.
fn is_command(command: &Command) -> bool {
    let words = &command.words;
    match words.first().map_or("", String::as_str) {
        "cargo" => words.len() > 1,
        "curl" | "nc" => words.len() > 2,
        program => is_script(program),
    }
}

/// Told from a file that is only named by its place, so that one that is gone is noticed.
pub fn is_script(program: &str) -> bool {
    let checks = program.strip_prefix(".ci/");
    checks.is_some_and(|name| !name.is_empty()) || program.ends_with("/run")
}

fn is_prompted(part: &Part) -> bool {
    let mut lines = part.lines.iter();
    lines.any(|line| line.trim_start().starts_with("$ "))
}

fn of_block(page: &Page, part: &Part, found: &mut Vec<Command>) {
    let prompted = is_prompted(part);
    for (index, line) in part.lines.iter().enumerate() {
        let line = line.trim();
        let at = || format!("{}:{}", page.name, part.line + index);
        match line.strip_prefix("$ ") {
            Some(text) => found.push(Command::new(at(), text, true)),
            None if line.is_empty() || line.starts_with('#') => {}
            None if prompted => found.last_mut().unwrap().output.push(line.to_owned()),
            None => found.push(Command::new(at(), line, true)),
        }
    }
}

#[test]
fn commands_are_found_with_variables_words_and_output() {
    let page = Page::parse(
        "a.md",
        "`cargo doc --open`, `cargo`, `.ci/x`, `B=1 cargo test`\n\n    \
         $ A='1 2' C= cargo run --example x -- --y 2 &  # why\n    out\n    $ nc ::1 7\n\n\
         ```sh\nfuzz/run 20   # c\n```\n",
    );
    let found = commands(&page);
    let texts: Vec<_> = found
        .iter()
        .map(|command| command.words.join(" "))
        .collect();
    let expected = [
        "cargo run --example x -- --y 2",
        "nc ::1 7",
        "fuzz/run 20",
        "cargo doc --open",
        ".ci/x",
        "cargo test",
    ];
    assert_eq!(texts, expected);
    let variables = [("A", "1 2"), ("C", "")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(found[0].variables, variables);
    assert_eq!(found[0].output, ["out"]);
    assert_eq!(found[0].name(), "cargo run");
    assert_eq!(found[0].values("--example").collect::<Vec<_>>(), ["x"]);
    assert_eq!(
        found.iter().map(|command| command.told).collect::<Vec<_>>(),
        [true, true, true, false, false, false]
    );
    assert_eq!(found[2].at, "a.md:8");
}
