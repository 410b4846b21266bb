//! Where a document goes.

use std::io::{self, Write};

use asynchat::{BoxError, Registry, Result};

use shared::{
    client::Outcome,
    gopher::{Consumer, Item, Menu},
    progress::Bar,
    saving::{Sink, Target},
};

pub(crate) enum View {
    /// Items in lines, with the URLs that they lead to.
    Menu(Menu),
    /// As it came.
    Written {
        target: Target,
        /// Opened with the first piece, so that an error leaves an older file alone.
        sink: Option<Sink>,
        bar: Bar,
    },
}

impl View {
    pub(crate) fn menu() -> Self {
        Self::Menu(Menu::default())
    }

    pub(crate) fn text() -> Self {
        Self::Written {
            target: Target::Stdout,
            sink: None,
            bar: Bar::hidden(),
        }
    }

    pub(crate) fn saved(target: Target) -> Self {
        Self::Written {
            target,
            sink: None,
            bar: Bar::new(None),
        }
    }

    pub(crate) fn limited(self, max_size: Option<u64>, outcome: Outcome) -> Limited {
        Limited {
            view: self,
            left: max_size,
            outcome,
        }
    }

    fn data(&mut self, data: &[u8]) -> Result {
        match self {
            Self::Menu(menu) => menu.piece(data, |item| Ok(show(&item)?)),
            Self::Written { target, sink, bar } => {
                bar.inc(data.len() as u64);
                opened(target, sink)?.write_all(data)
            }
        }
    }

    fn end(&mut self, complete: bool) -> Result {
        match self {
            Self::Menu(menu) if complete => menu.finish(|item| Ok(show(&item)?)),
            Self::Menu(_) => Ok(()),
            Self::Written { target, sink, bar } => {
                bar.end();
                if complete {
                    // An empty document is one too.
                    opened(target, sink)?;
                }
                sink.take().map_or(Ok(()), |sink| sink.finish(complete))
            }
        }
    }
}

fn opened<'a>(target: &Target, sink: &'a mut Option<Sink>) -> Result<&'a mut Sink> {
    let opened = match sink.take() {
        Some(sink) => sink,
        None => target.open()?,
    };
    Ok(sink.insert(opened))
}

fn show(item: &Item) -> io::Result<()> {
    let mut out = io::stdout();
    let kind = match item.kind {
        'i' => String::new(),
        '3' => "error".into(),
        kind => kind.to_string(),
    };
    let line = match &item.url {
        Some(url) => format!("{kind:>5} {}  {url}", item.name),
        None => format!("{kind:>5} {}", item.name),
    };
    writeln!(out, "{}", line.trim_end())
}

/// Takes no more than it may, and gives the outcome of the run.
pub(crate) struct Limited {
    view: View,
    /// Bytes that may still come.
    left: Option<u64>,
    outcome: Outcome,
}

impl Consumer for Limited {
    fn data(&mut self, data: &[u8]) -> Result {
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(data.len() as u64)
                .ok_or("the document is larger than --max-size allows")?;
        }
        self.view.data(data)
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        let ended = self.view.end(outcome.is_ok());
        self.outcome.set(outcome.and(ended));
    }
}
