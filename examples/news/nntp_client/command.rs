//! What the command line asks for, as requests with the tasks that take their answers.

use std::ffi::OsString;

use asynchat::{ReaderProducer, Result};
use clap::{Args, Subcommand};

use shared::{
    nntp::{Part, Range, Request, Which, Word},
    saving::Target,
    source::{self, Source},
};

use crate::{
    article::Reading,
    overview::{Headlines, Statistics},
    plain::{Counts, Groups, Posted},
    worklist::{Task, Work},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the groups with their numbers of articles
    List {
        /// Only those that fit, as 'local.*'
        wildmat: Option<Word>,
    },
    /// Show how many articles a group has, and their numbers
    Group { group: Word },
    /// Show number, date, author and subject of each article of a group
    Over {
        group: Word,
        #[command(flatten)]
        choice: Choice,
    },
    /// Count the authors and subjects of a group
    Stats {
        group: Word,
        #[command(flatten)]
        choice: Choice,
    },
    /// Show articles
    Article(ArticleArgs),
    /// Show the headers of articles, as they came
    Head(ArticleArgs),
    /// Show the bodies of articles, as they came
    Body(ArticleArgs),
    /// Post articles: header, empty line, text
    Post {
        /// Files with an article each; - is standard input
        #[arg(value_name = "FILE", default_value = "-")]
        files: Vec<OsString>,
    },
}

/// Articles of a group.
#[derive(Args, Clone, Debug)]
pub(crate) struct Choice {
    /// Numbers of the articles: N, N- or N-M
    #[arg(default_value_t = Range::ALL, hide_default_value = true)]
    range: Range,
    /// Show only those whose author has this text in name or address
    #[arg(long, value_name = "TEXT")]
    pub(crate) author: Option<String>,
    /// Show only those whose subject has this text, in either case
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ArticleArgs {
    /// Numbers within --group, or message-ids as '<ID>'
    #[arg(value_name = "ARTICLE", required = true)]
    which: Vec<Which>,
    /// The group that the numbers are of
    #[arg(short, long)]
    group: Option<Word>,
    /// Show an article as it came
    #[arg(long)]
    raw: bool,
    /// Save the one article as it came, under that name once it is complete
    #[arg(short, value_name = "FILE")]
    output: Option<OsString>,
}

impl Command {
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Article(args) | Self::Head(args) | Self::Body(args) => {
                let numbers = args
                    .which
                    .iter()
                    .any(|which| matches!(which, Which::Number(_)));
                if numbers && args.group.is_none() {
                    return Err("a number needs --group".into());
                }
                if args.output.is_some() && args.which.len() > 1 {
                    return Err("-o takes one article".into());
                }
                Ok(())
            }
            Self::Post { files } if files.iter().filter(|file| *file == "-").count() > 1 => {
                Err("standard input is one article".into())
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// A file cannot be read.
    pub(crate) fn tasks(&self) -> Result<Vec<Work>> {
        Ok(match self {
            Self::List { wildmat } => {
                vec![work(Request::List(wildmat.clone()), Groups, &"the groups")]
            }
            Self::Group { group } => vec![enter(group, Counts)],
            Self::Over { group, choice } => vec![
                enter(group, Silent),
                work(Request::Over(choice.range), Headlines::new(choice), group),
            ],
            Self::Stats { group, choice } => vec![
                enter(group, Counts),
                work(Request::Over(choice.range), Statistics::new(choice), group),
            ],
            Self::Article(args) => args.tasks(Part::All),
            Self::Head(args) => args.tasks(Part::Head),
            Self::Body(args) => args.tasks(Part::Body),
            Self::Post { files } => files
                .iter()
                .map(|name| {
                    let label = source::label(name);
                    let file = Source::new(name).and_then(|source| source.open());
                    let file = file.map_err(|error| format!("{label}: {error}"))?;
                    let article = Box::new(ReaderProducer::file(file));
                    Ok(work(Request::Post(article), Posted::new(&label), &label))
                })
                .collect::<Result<_>>()?,
        })
    }
}

impl ArticleArgs {
    fn tasks(&self, part: Part) -> Vec<Work> {
        let target = self.output.clone().map(Target::from);
        let enter = self.group.iter().map(|group| enter(group, Silent));
        let articles = self.which.iter().map(|which| {
            let reading = match &target {
                Some(target) => Reading::saved(target.clone()),
                None if self.raw || part != Part::All => Reading::as_it_came(),
                None => Reading::shown(),
            };
            work(Request::Article(part, which.clone()), reading, which)
        });
        enter.chain(articles).collect()
    }
}

/// Takes an answer that nobody wants to see.
struct Silent;

impl Task for Silent {}

fn work(request: Request, task: impl Task + 'static, label: &impl ToString) -> Work {
    Work {
        request,
        task: Box::new(task),
        label: label.to_string(),
        is_needed: false,
    }
}

fn enter(group: &Word, task: impl Task + 'static) -> Work {
    Work {
        is_needed: true,
        ..work(Request::Group(group.clone()), task, group)
    }
}
