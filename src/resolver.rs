//! What finds the addresses of a host name.

use crate::names::{answer::Answer, question::Question};

/// Finds the addresses of host names, for [`Registry::connect_host`](crate::Registry::connect_host) and
/// [`resolve`](crate::Registry::resolve). Every reactor has one, [`ThreadResolver`](crate::ThreadResolver) unless
/// [`Builder::resolver`](crate::Builder::resolver) sets another.
///
/// ```
/// use asynchat::{Answer, Question, Reactor, Resolver, ThreadResolver};
///
/// /// Sends the names of one domain to this machine.
/// struct Local(ThreadResolver);
/// impl Resolver for Local {
///     fn resolve(&mut self, question: Question, answer: Answer) {
///         if question.host().ends_with(".test") {
///             answer.give(Ok(vec![([127, 0, 0, 1], question.port()).into()]));
///         } else {
///             self.0.resolve(question, answer);
///         }
///     }
/// }
///
/// # fn main() -> asynchat::Result {
/// let mut reactor = Reactor::builder().resolver(Local(ThreadResolver::new())).build()?;
/// reactor.resolve("www.test", 80, |_registry, found| {
///     assert_eq!(found?, ["127.0.0.1:80".parse()?]);
///     Ok(())
/// });
/// reactor.run()?;
/// # Ok(())
/// # }
/// ```
pub trait Resolver {
    /// Begins to look a name up. Called on the loop's thread, so it must not block: `answer` may go to another thread, or
    /// to a timer or channel of the same reactor.
    ///
    /// A question that equals one without an answer is not asked again: all who ask get the one answer. After the
    /// deadline of a question, an answer is of use to those who asked later.
    ///
    /// A panic becomes the error of the question.
    fn resolve(&mut self, question: Question, answer: Answer);
}
