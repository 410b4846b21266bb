//! An article: shown as a reader sees it, or as it came, or saved.

use std::io::{self, Write};

use asynchat::Result;

use shared::{
    mail::Excerpt,
    progress::Bar,
    reply::Reply,
    saving::{Sink, Target},
};

use crate::worklist::Task;

pub(crate) enum Reading {
    Shown(Excerpt),
    Written {
        target: Target,
        /// Opened when there is something to write, so that a refusal leaves an older file alone.
        sink: Option<Sink>,
        bar: Bar,
    },
}

impl Reading {
    pub(crate) fn shown() -> Self {
        Self::Shown(Excerpt::default())
    }

    pub(crate) fn as_it_came() -> Self {
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
}

impl Task for Reading {
    fn accepted(&mut self, _: &Reply) -> Result {
        if let Self::Written { target, sink, .. } = self {
            *sink = Some(target.open()?);
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result {
        match self {
            Self::Shown(excerpt) => excerpt.push(data),
            Self::Written { sink, bar, .. } => {
                bar.inc(data.len() as u64);
                if let Some(sink) = sink {
                    sink.write_all(data)?;
                }
            }
        }
        Ok(())
    }

    fn done(&mut self) -> Result {
        match self {
            Self::Shown(excerpt) => {
                let mut out = io::stdout();
                excerpt.show(&mut out)?;
                Ok(out.flush()?)
            }
            Self::Written { sink, bar, .. } => {
                bar.end();
                sink.take().map_or(Ok(()), |sink| sink.finish(true))
            }
        }
    }
}

impl Drop for Reading {
    /// What has begun is removed.
    fn drop(&mut self) {
        if let Self::Written { sink, bar, .. } = self
            && let Some(sink) = sink.take()
        {
            bar.end();
            // The run has failed already.
            let _ = sink.finish(false);
        }
    }
}
