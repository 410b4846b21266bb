//! Every command of every page is either run, or in the list of those that are not, with the reason; of those, what
//! they name is checked. Of an example that a sentence or a table mentions the options are.

use std::os::unix::fs::PermissionsExt;

use crate::{
    named, nothing_wrong, options, repository, root, scene,
    shell::{Command, commands},
};

/// Not run, by the beginning of the command.
const NOT_RUN: [(&str, &str); 19] = [
    (
        "cargo test",
        "it would run itself; its targets, features and names are checked",
    ),
    ("cargo bench", "minutes; its targets are checked"),
    ("cargo doc", "a step of .ci/run; its options are checked"),
    ("cargo install", "from the network"),
    ("asynchat-port", "its tests run it; its options are checked"),
    (
        "cargo +nightly fuzz",
        "needs a nightly toolchain; its target is checked",
    ),
    (
        ".ci/",
        "it runs this test, or takes minutes; its options are checked",
    ),
    (
        "fuzz/run",
        "needs a nightly toolchain; its targets are checked",
    ),
    (
        "benches/soak/run",
        "20 minutes, and it draws over a figure of the documents; its arguments are checked",
    ),
    (
        "benches/compare/",
        "minutes, and other people's servers; its options are checked",
    ),
    (
        "benches/profile",
        "it reads what the command before it leaves, which is not run",
    ),
    (
        "cargo run --example NAME",
        "stands for the commands below it",
    ),
    (
        "cargo run --example ftp_client",
        "its server is another's, which its suite starts; its options are checked",
    ),
    (
        "cargo run --example telnet_client",
        "its server is another's, which its suite starts; its options are checked",
    ),
    (
        "cargo run --example smtp_client",
        "its server is another's, which its suite starts; its options are checked",
    ),
    ("cargo run --example imap_client", "as smtp_client"),
    ("cargo run --example pop3_client", "as smtp_client"),
    ("cargo run --example nntp_client", "as smtp_client"),
    ("cargo run --example gopher_client", "as smtp_client"),
];

/// Clients whose server is none of the examples.
const CLIENTS_OF_OTHERS: [&str; 7] = [
    "ftp_client",
    "gopher_client",
    "imap_client",
    "nntp_client",
    "pop3_client",
    "smtp_client",
    "telnet_client",
];

fn client_of_others(command: &Command) -> Option<&str> {
    let name = command.values("--example").next()?;
    CLIENTS_OF_OTHERS.contains(&name).then_some(name)
}

/// The example that is started in the middle of a sentence or in a table: a section of its own has a command that is run.
fn mentioned(command: &Command) -> Option<&str> {
    let name = command.values("--example").next()?;
    (!command.told && command.name() == "cargo run" && name != "NAME").then_some(name)
}

fn is_run(command: &Command) -> bool {
    let name = command.name();
    let example = name == "cargo run"
        && command.values("--example").next() != Some("NAME")
        && client_of_others(command).is_none();
    let piped = name == "printf" && command.pipes_into("nc");
    command.told && (example || piped || ["curl", "nc", "openssl"].contains(&name.as_str()))
}

#[test]
fn every_command_is_run_or_listed_with_the_reason_why_not() {
    let Some(pages) = repository::pages() else {
        return;
    };
    // What comes with test data is its licence, not a document of ours.
    let documents = pages
        .iter()
        .filter(|page| !page.name.starts_with("suites/data/"));
    let all: Vec<Command> = documents.flat_map(commands).collect();
    let (run, other): (Vec<_>, Vec<_>) = all.iter().partition(|command| is_run(command));
    eprintln!("{} commands, {} of them run", all.len(), run.len());
    assert!(run.len() >= 15, "only {} commands found to run", run.len());
    let mut wrong = Vec::new();
    for command in &other {
        let called = command.words.join(" ");
        let listed = mentioned(command).is_some()
            || NOT_RUN.iter().any(|(begin, _)| called.starts_with(begin));
        if !listed {
            wrong.push(format!("{}: {called}: neither run nor listed", command.at));
        } else if let Err(why) = check(command) {
            wrong.push(format!("{}: {called}: {why}", command.at));
        }
    }
    for (begin, _) in NOT_RUN {
        if !other
            .iter()
            .any(|command| command.words.join(" ").starts_with(begin))
        {
            wrong.push(format!("{begin} is listed, and no page has it"));
        }
    }
    nothing_wrong(wrong);
}

#[test]
fn the_commands_of_each_page_work_in_their_order() {
    let Some(pages) = repository::pages() else {
        return;
    };
    // Ports are fixed: the commands have a network to themselves, or the host's as far as nobody else uses it.
    if scene::again_in_a_network_of_its_own(
        "commands::the_commands_of_each_page_work_in_their_order",
    ) {
        return;
    }
    for page in &pages {
        let mut run: Vec<Command> = commands(page);
        run.retain(is_run);
        scene::play(&run);
    }
}

/// What a command names exists.
fn check(command: &Command) -> Result<(), String> {
    if let Some(name) = client_of_others(command).or_else(|| mentioned(command)) {
        return options::are_known(name, &command.words);
    }
    match command.name().as_str() {
        "cargo test" | "cargo bench" | "cargo doc" | "cargo run" => cargo(command),
        "cargo install" => Ok(()),
        "asynchat-port" => of_port(command.args()),
        "cargo +nightly" => {
            let target = command.args().get(2).map_or("", String::as_str);
            file(&format!("fuzz/fuzz_targets/{target}.rs"))
        }
        program => {
            file(program)?;
            let mode = root()
                .join(program)
                .metadata()
                .unwrap()
                .permissions()
                .mode();
            if mode & 0o111 == 0 {
                return Err("not executable".to_owned());
            }
            of_program(program, command.args())
        }
    }
}

fn file(name: &str) -> Result<(), String> {
    let exists = root().join(name).is_file();
    exists
        .then_some(())
        .ok_or_else(|| format!("{name} does not exist"))
}

/// Options of `asynchat-port` are fields of its arguments.
fn of_port(args: &[String]) -> Result<(), String> {
    let source = repository::text("asynchat-port/src/main.rs");
    let mut options = args.iter().filter_map(|word| word.strip_prefix("--"));
    let unknown =
        options.find(|option| !source.contains(&format!("    {}: ", option.replace('-', "_"))));
    unknown.map_or(Ok(()), |option| {
        Err(format!("asynchat-port has no --{option}"))
    })
}

/// Whether the file or the name of a unit test contains this.
fn test_is_named(part: &str) -> bool {
    let sources = repository::files(&[".rs"]).unwrap_or_default();
    sources
        .iter()
        .filter(|file| file.starts_with("src/"))
        .any(|file| file.contains(part) || repository::text(file).contains(&format!("fn {part}")))
}

/// Options and words of a program of the repository stand in its source.
fn of_program(program: &str, args: &[String]) -> Result<(), String> {
    let folder = program.rsplit_once('/').unwrap().0;
    let mut source = repository::text(program);
    // The scripts of that folder share one, which has the names of targets.
    if source.contains("/steps\"") {
        source += &repository::text(&format!("{folder}/steps"));
    }
    for file in repository::files(&[".py"]).unwrap_or_default() {
        if file.starts_with(folder) {
            source += &repository::text(&file);
        }
    }
    for word in args {
        let number = word.parse::<u32>().is_ok();
        let path = word.contains('/') || word.ends_with(".md") || word.ends_with(".json");
        let target = root()
            .join(format!("{folder}/fuzz_targets/{word}.rs"))
            .exists();
        // Any word may stand somewhere in a shell script; its targets are files.
        let known = program != "fuzz/run" && source.contains(word.as_str());
        // A part of the names of tests, as the script's usage says.
        let filter = source.contains("[FILTER...]") && test_is_named(word);
        if !number && !path && !target && !known && !filter {
            return Err(format!("{program} knows no {word}"));
        }
    }
    Ok(())
}

fn cargo(command: &Command) -> Result<(), String> {
    let mut sources = Vec::new();
    let mut tests = "tests";
    let args = command.args();
    let own = args.iter().position(|word| word == "--");
    let (args, passed_on) = args.split_at(own.unwrap_or(args.len()));
    for word in passed_on {
        match word.as_str() {
            "--" | "--nocapture" | "--show-output" | "--ignored" | "ARGUMENTS" => {}
            other => return Err(format!("{other} is nothing to pass on")),
        }
    }
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .cloned()
                .ok_or(format!("{word} without a value"))
        };
        match word.as_str() {
            "-p" | "--package" => match value()?.as_str() {
                "asynchat-suites" => tests = "suites/tests",
                other => return Err(format!("no package is called {other}")),
            },
            "--test" => sources.push(target(tests, &value()?)?),
            "--bench" => sources.push(target("benches", &value()?)?),
            "--example" => match value()?.as_str() {
                "NAME" => {}
                name => match options::examples().get(name) {
                    Some(path) => sources.push(below(path.rsplit_once('/').unwrap().0)),
                    None => return Err(format!("no example is called {name}")),
                },
            },
            "--features" => {
                let (name, manifest) = (value()?, repository::text("Cargo.toml"));
                if !manifest.contains(&format!("\n{name} = [")) {
                    return Err(format!("no feature {name}"));
                }
            }
            "--lib" => sources.push(below("src/")),
            "--release" | "--tests" | "--examples" | "--all-features" | "--doc" | "--open"
            | "--no-deps" => {}
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            filter if sources.is_empty() => has_test(&below(""), filter)?,
            filter => has_test(&sources.concat(), filter)?,
        }
    }
    for (name, _) in &command.variables {
        let own = name.starts_with("ASYNCHAT_");
        let read = |source: &String| named::words(source).any(|word| word == name);
        if own && !sources.iter().any(read) {
            return Err(format!("the test does not read {name}"));
        }
    }
    Ok(())
}

/// Whether a filter leaves anything: all its parts are modules, the last one may also be the beginning of a function.
fn has_test(source: &str, filter: &str) -> Result<(), String> {
    let (modules, last) = filter.rsplit_once("::").unwrap_or(("", filter));
    let is_module = |name: &str| {
        [";", " {"]
            .iter()
            .any(|end| source.contains(&format!("mod {name}{end}")))
    };
    let mut modules = modules.split("::").filter(|name| !name.is_empty());
    if let Some(name) = modules.find(|name| !is_module(name)) {
        return Err(format!("no module is called {name}"));
    }
    if !is_module(last) && !source.contains(&format!("fn {last}")) {
        return Err(format!("no test is called {filter}"));
    }
    Ok(())
}

/// All Rust there.
fn below(folder: &str) -> String {
    let files = repository::files(&[".rs"]).unwrap_or_default();
    let own = files.iter().filter(|file| file.starts_with(folder));
    own.map(|file| repository::text(file)).collect()
}

/// The source of a target: all files of its folder.
fn target(kind: &str, name: &str) -> Result<String, String> {
    let (single, folder) = (format!("{kind}/{name}.rs"), format!("{kind}/{name}/"));
    let files = repository::files(&[".rs"]).unwrap_or_default();
    let own: Vec<_> = files
        .iter()
        .filter(|file| **file == single || file.starts_with(&folder))
        .collect();
    if !own
        .iter()
        .any(|file| **file == single || file.ends_with("/main.rs"))
    {
        return Err(format!("no {name} in {kind}"));
    }
    Ok(own.iter().map(|file| repository::text(file)).collect())
}

#[test]
fn a_filter_names_modules_and_then_a_test() {
    let source = "mod a;\nmod b {\n    fn it_works() {}\n}\n";
    for filter in ["a", "a::", "b::it_works", "it_w", "a::b::"] {
        assert_eq!(has_test(source, filter), Ok(()), "{filter}");
    }
    for filter in ["c", "c::", "it_works::", "c::it_works", "a::it_fails"] {
        assert!(has_test(source, filter).is_err(), "{filter}");
    }
}
