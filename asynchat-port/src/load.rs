//! From the arguments to a program whose names are resolved.

use std::path::PathBuf;

use crate::{
    library::Copies,
    limits::Limits,
    model::{self, Program},
    resolve::{self, Names},
    source::{self, Source, Unread},
    syntax,
};

/// A program, and what is wrong with its files.
#[derive(Debug)]
pub struct Loaded {
    /// The files that could be parsed, with or without faults.
    pub program: Program,
    /// The meaning of its names.
    pub names: Names,
    /// Files that are not in it.
    pub unread: Vec<Unread>,
    /// Files whose text may be read wrongly, and why.
    pub doubts: Vec<Unread>,
}

impl Loaded {
    /// True if all files were read, and are Python throughout.
    pub fn is_whole(&self) -> bool {
        let faulty = |module: &model::Module| !module.tree.faults().is_empty();
        self.unread.is_empty() && !self.program.modules.iter().any(faulty)
    }
}

/// Reads the files of the arguments.
pub fn load(arguments: &[PathBuf], limits: &Limits, copies: Copies) -> Loaded {
    let (sources, unread) = source::read(arguments, limits);
    let mut loaded = load_sources(sources, limits, copies);
    loaded.unread.splice(0..0, unread);
    if loaded.program.modules.is_empty() && loaded.unread.is_empty() {
        let names: Vec<_> = arguments
            .iter()
            .map(|argument| argument.to_string_lossy())
            .collect();
        let (path, reason) = (names.join(", "), "no file of Python".to_owned());
        loaded.unread.push(Unread { path, reason });
    }
    loaded
}

/// Takes files that are read already.
pub fn load_sources(sources: Vec<Source>, limits: &Limits, copies: Copies) -> Loaded {
    let mut program = Program::default();
    let (mut unread, mut doubts) = (Vec::new(), Vec::new());
    let mut nodes_left = limits.nodes;
    for source in sources {
        let path = source.path;
        if let Some(reason) = source.doubt {
            let path = path.clone();
            doubts.push(Unread { path, reason });
        }
        match syntax::parse(source.text, limits.steps_per_byte) {
            Ok(tree) if tree.len() > nodes_left => {
                let reason = "all files have more nodes than --max-nodes".to_owned();
                unread.push(Unread { path, reason });
            }
            Ok(tree) => {
                nodes_left -= tree.len();
                model::add_module(&mut program, path, source.module, source.is_package, tree);
            }
            Err(failure) => {
                let reason = failure.to_string();
                unread.push(Unread { path, reason });
            }
        }
    }
    let names = resolve::resolve(&mut program, copies);
    Loaded {
        program,
        names,
        unread,
        doubts,
    }
}
