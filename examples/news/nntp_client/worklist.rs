//! The tasks of a run, one after the other, and what became of them.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use asynchat::{BoxError, Registry, Result};

use shared::{
    nntp::{Reader, Request},
    reply::Reply,
};

/// What takes the answer to a request.
pub(crate) trait Task {
    fn accepted(&mut self, _reply: &Reply) -> Result {
        Ok(())
    }

    fn line(&mut self, _line: &[u8]) -> Result {
        Ok(())
    }

    fn data(&mut self, _data: &[u8]) -> Result {
        Ok(())
    }

    /// All of it has come.
    fn done(&mut self) -> Result {
        Ok(())
    }

    /// The refusal means that there is nothing, which is an answer.
    fn is_empty_answer(&self, _refusal: &Reply) -> bool {
        false
    }
}

/// What went wrong, a line each.
#[derive(Clone, Default)]
pub(crate) struct Report(Rc<RefCell<Vec<String>>>);

impl Report {
    pub(crate) fn failed(&self, line: String) {
        self.0.borrow_mut().push(line);
    }

    pub(crate) fn result(&self) -> Result {
        match self.0.borrow().as_slice() {
            [] => Ok(()),
            lines => Err(lines.join("\nnntp_client: ").into()),
        }
    }
}

/// A request, and what takes its answer.
pub(crate) struct Work {
    pub(crate) request: Request,
    pub(crate) task: Box<dyn Task>,
    /// In a message about it.
    pub(crate) label: String,
    /// The rest makes no sense without it.
    pub(crate) is_needed: bool,
}

pub(crate) struct Worklist {
    works: VecDeque<Work>,
    task: Option<Box<dyn Task>>,
    label: String,
    is_needed: bool,
    report: Report,
}

impl Worklist {
    pub(crate) fn new(works: Vec<Work>, report: Report) -> Self {
        Self {
            works: works.into(),
            task: None,
            label: String::new(),
            is_needed: false,
            report,
        }
    }

    fn with_task(&mut self, call: impl FnOnce(&mut (dyn Task + 'static)) -> Result) -> Result {
        match &mut self.task {
            Some(task) => call(&mut **task),
            None => Ok(()),
        }
    }
}

impl Reader for Worklist {
    fn next(&mut self) -> Option<Request> {
        let work = self.works.pop_front()?;
        self.task = Some(work.task);
        self.label = work.label;
        self.is_needed = work.is_needed;
        Some(work.request)
    }

    fn accepted(&mut self, reply: &Reply) -> Result {
        self.with_task(|task| task.accepted(reply))
    }

    fn line(&mut self, line: &[u8]) -> Result {
        self.with_task(|task| task.line(line))
    }

    fn data(&mut self, data: &[u8]) -> Result {
        self.with_task(|task| task.data(data))
    }

    fn done(&mut self, refusal: Option<&Reply>) -> Result {
        let task = self.task.take();
        let Some(mut task) = task else {
            return Ok(());
        };
        match refusal {
            Some(reply) if !task.is_empty_answer(reply) => {
                self.report.failed(reply.refusal(&self.label));
                if self.is_needed {
                    self.works.clear();
                }
                Ok(())
            }
            _ => task.done(),
        }
    }

    fn finished(&mut self, _: &mut Registry, outcome: Result<(), BoxError>) {
        if let Err(error) = outcome {
            let under_way = match self.task.take() {
                Some(_) => format!("{}: ", self.label),
                None => String::new(),
            };
            self.report.failed(format!("{under_way}{error}"));
        }
    }
}
